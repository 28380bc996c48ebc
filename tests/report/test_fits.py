"""A result that was edited, copied in or made with other parameters goes no further, by whatever command it is read."""

import json

import pandas as pd
import pytest

from megan import __main__ as command_line
from megan import params as parameters
from megan import paths
from megan.meta import work
from megan.report import figures, fits, summary
from megan.report.claims import stage


@pytest.fixture
def study(made_up):
    """Everything up to the verdicts, each with its record."""
    params = made_up().write()
    summary.run(params)
    samples, gan = paths.samples("quick"), paths.gan("quick")
    for folder in (samples, gan):
        folder.mkdir(parents=True)
    pd.DataFrame(columns=["variant", "seed", "kid", "distance"]).to_csv(samples / "realism.csv", index=False)
    pd.DataFrame(columns=["variant", "seed", "task", "kid", "wasserstein"]).to_csv(samples / "tasks.csv", index=False)
    pd.DataFrame([(k, 0, 0, 500, 0.1) for k in (100, 10)], columns=["images", "class", "seed", "updates", "kid"]).to_csv(gan / "quality.csv", index=False)
    settings = {block: getattr(params.current, block).model_dump(mode="json") for block in ("judge", "test", "gan")}
    work.write_record(samples, {"parameters": {"study": "quick", "judge": settings["judge"], "test": settings["test"]}}, {})
    work.write_record(gan, {"parameters": {"study": "quick", "gan": settings["gan"]}}, {})
    stage.run(params)
    return params


STAGES = [("summary", ""), ("claims", ""), ("figure", "accuracy"), ("figure", "realism"), ("figure", "plain_gan"), ("report", "")]
EDITED = {
    "results/quick/train/maml/curve.csv": {"summary"},
    "results/quick/test/n_plus_1/tasks.csv": {"summary"},
    "results/quick/encoder/metrics.json": {"summary"},
    "results/quick/tables/accuracy.csv": {"claims", "figure accuracy", "figure realism", "report"},
    "results/quick/samples/realism.csv": {"claims", "figure realism"},
    "results/quick/gan/quality.csv": {"claims", "figure plain_gan"},
    "results/quick/claims/claims.csv": {"report"},
}


def refusing(params) -> dict[str, str]:
    told = {}
    for name, item in STAGES:
        try:
            fits.check(params, name, item)
        except work.StaleError as error:
            told[f"{name} {item}".strip()] = str(error)
    return told


def test_what_was_made_passes(study):
    assert refusing(study) == {}


@pytest.mark.parametrize("path", EDITED)
def test_an_edited_file_is_refused_by_all_that_read_it(study, tmp_path, path):
    file = tmp_path / path
    file.write_bytes(file.read_bytes().replace(b"0.", b"9.", 1) + b"\n")
    told = refusing(study)
    assert set(told) == EDITED[path]
    assert all(path in line and "run: dvc repro" in line for line in told.values())


def test_other_parameters_are_refused(study):
    inner = study.current.inner.model_copy(update={"learning_rate": 0.123})
    other = study.model_copy(update={"studies": {"quick": study.current.model_copy(update={"inner": inner})}})
    told = refusing(other)
    assert "0.4" in told["summary"] and "0.123" in told["summary"] and "dvc repro train@maml" in told["summary"]
    assert {"claims", "figure accuracy", "report"} <= set(told)


def test_a_test_of_another_training_is_refused(study):
    record = paths.tested("quick", "maml") / "record.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"trained": "0" * 64}))
    assert refusing(study)["summary"] == "results/quick/test/maml is not of the training in results/quick/train/maml; run: dvc repro test@maml"


@pytest.mark.parametrize("text", ["[" * 100_000, '{"files": {}, "parameters": []}', '{"files": 3}', "[]"], ids=["deep", "list", "number", "no object"])
def test_a_record_that_is_none(study, text):
    (paths.trained("quick", "maml") / "record.json").write_text(text)
    assert "record.json cannot be read" in refusing(study)["summary"]


def test_the_command_line_checks(study, monkeypatch, capsys):
    """Every stage that reads results, before it writes anything."""
    monkeypatch.setattr(parameters, "load", lambda: study)
    monkeypatch.setattr(figures, "run", lambda *_: pytest.fail("drawn from an edited table"))
    table = paths.tables("quick") / "accuracy.csv"
    table.write_text(table.read_text().replace("0.", "9.", 1))
    for arguments in (["claims"], ["figure", "accuracy"], ["report"]):
        assert command_line.main(arguments) == 1
        assert "accuracy.csv is not the file that" in capsys.readouterr().err
