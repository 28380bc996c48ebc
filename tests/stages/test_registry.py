"""Every command refuses a result that was edited, copied in or made with other parameters."""

import jobs
import pandas as pd
import pytest

from megan import __main__ as command_line
from megan.config import params as parameters
from megan.config import paths
from megan.errors import MeganError
from megan.report import figures
from megan.runs import result
from megan.stages import registry


@pytest.fixture
def study(made_up):
    """Everything up to the verdicts, each with its record."""
    params = made_up().write()
    jobs.run(params, "summary")
    samples, gan = paths.samples("quick"), paths.gan("quick")
    for folder in (samples, gan):
        folder.mkdir(parents=True)
    pd.DataFrame(columns=["variant", "seed", "kid", "distance"]).to_csv(samples / "realism.csv", index=False)
    pd.DataFrame(columns=["variant", "seed", "task", "kid", "wasserstein"]).to_csv(samples / "tasks.csv", index=False)
    pd.DataFrame(
        [(k, 0, 0, 500, 0.1) for k in (100, 10)], columns=["images", "class", "seed", "updates", "kid"]
    ).to_csv(gan / "quality.csv", index=False)
    jobs.leave_record(params, "samples")
    jobs.leave_record(params, "gan")
    jobs.run(params, "claims")
    return params


STAGES = ["summary", "claims", "report"]
EDITED = {
    "results/quick/train/maml/curve.csv": {"summary"},
    "results/quick/test/n_plus_1/tasks.csv": {"summary"},
    "results/quick/tables/accuracy.csv": {"claims", "report"},
    "results/quick/samples/realism.csv": {"claims", "report"},
    "results/quick/gan/quality.csv": {"claims", "report"},
    "results/quick/claims/claims.csv": {"report"},
}


def refusing(params) -> dict[str, str]:
    told = {}
    for name in STAGES:
        try:
            registry.prepare(params, name)
        except result.StaleError as error:
            told[name] = str(error)
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


@pytest.mark.parametrize(
    "path", ["train/maml/curve.csv", "train/maml/record.json", "test/maml/record.json", "test/maml/tasks.csv"]
)
def test_a_missing_file_is_named(study, path):
    file = paths.results("quick") / path
    file.unlink()
    assert str(file) in refusing(study)["summary"] and "run: dvc repro" in refusing(study)["summary"]


def test_other_parameters_are_refused(study):
    inner = study.current.inner.model_copy(update={"learning_rate": 0.123})
    other = study.model_copy(update={"studies": {"quick": study.current.model_copy(update={"inner": inner})}})
    told = refusing(other)
    assert "inner.learning_rate = 0.4, params.yaml says 0.123; run: dvc repro" in told["summary"]


def test_a_result_of_another_input_is_refused(study):
    """For example a test of a training that has been repeated since."""
    folder = paths.tested("quick", "maml")
    identity = jobs.identity(study, "test", "maml") | {"inputs": {"results/quick/train/maml": "0" * 64}}
    result.write(folder, identity, {})
    expected = (
        "results/quick/test/maml was made from another version of results/quick/train/maml; run: dvc repro test@maml"
    )
    assert refusing(study)["summary"] == expected


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"files": {}, "parameters": []}', '{"files": 3}', "[]"],
    ids=["deep", "list", "number", "no object"],
)
def test_a_record_that_is_none(study, text):
    (paths.trained("quick", "maml") / "record.json").write_text(text)
    assert "record.json cannot be read" in refusing(study)["summary"]


def test_the_command_line_checks(study, monkeypatch, capsys):
    """Every stage that reads results, before it writes anything."""
    monkeypatch.setattr(parameters, "load", lambda **_: study)
    monkeypatch.setattr(figures, "draw", lambda *_: pytest.fail("drawn from an edited table"))
    table = paths.tables("quick") / "accuracy.csv"
    table.write_text(table.read_text().replace("0.", "9.", 1))
    for stage in ("claims", "report"):
        assert command_line.main([stage]) == 1
        assert "accuracy.csv does not match its digest" in capsys.readouterr().err


def test_the_first_output_is_where_paths_has_it():
    """`dvc.yaml` and `paths` name the same places."""
    params = parameters.load(jobs.ROOT / "params.yaml")
    study, stages = params.study, registry.stages(params)
    single = {
        "download": paths.raw, "prepare": paths.prepared, "encoder": paths.encoder, "judge": paths.judge,
        "gan": paths.gan, "config": paths.config,
        "samples": paths.samples, "summary": paths.tables, "claims": paths.claims, "report": paths.figures,
    }  # fmt: skip
    assert {name: stages[name].folder for name in single} == {name: place(study) for name, place in single.items()}
    for name, stage in stages.items():
        if stage.name in ("train", "test"):
            assert stage.folder == (paths.trained if stage.name == "train" else paths.tested)(study, stage.item), name
        if stage.name in ("encoder", "judge", "gan", "samples", "train", "test"):
            assert stage.outputs[1] == jobs.job(params, stage.name, stage.item).provenance.as_posix()


def test_an_identity_follows_from_what_dvc_lists():
    params = parameters.load(jobs.ROOT / "params.yaml")
    stage = registry.find(params, "train", "n_plus_1")
    made_with = registry.parameters(params, stage)
    assert made_with["variant"] == params.variants["n_plus_1"].options, "defaults filled in"
    assert made_with["tier.seeds"] == list(params.tier("n_plus_1").seeds)
    assert "megan/meta/adapt.py" in registry.code(stage) and "megan/ops/native.cpp" in registry.code(stage)
    assert set(stage.inputs) == {"data/prepared/quick", "results/quick/encoder"}


@pytest.mark.parametrize(
    "name, item, words",
    [
        ("trian", "maml", "unknown stage .trian@maml.; did you mean .train@maml."),
        ("train", "mamll", "did you mean 'maml'"),
        ("report", "x", "unknown"),
    ],
)
def test_unknown_stages_and_items(name, item, words):
    with pytest.raises(MeganError, match=words):
        registry.find(parameters.load(jobs.ROOT / "params.yaml"), name, item)
