"""A record of a study of which two of four variants, and no plain GAN, have been run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
from safetensors.torch import load_file

from megan import FewShotClassifier, record
from megan import __main__ as command_line
from megan.config import params as parameters
from megan.config import paths
from megan.record import check, manifest, partial, weights
from megan.report.inputs import read_table
from megan.stages import registry
from tests.record.conftest import DONE, LEFT, RUN, content, lock


def test_it_is_whole_and_says_that_it_is_provisional(inside):
    listed = record.verify(inside.record)
    assert listed["provisional"] and listed["not_run"] == [*(f"test@{name}" for name in LEFT), "gan"]
    assert listed["variants"] == list(RUN)
    for name in (
        "config/prepare.yaml",
        "report.html",
        "metrics.json",
        "claims/claims.json",
        "figures/outer_losses.png",
        "tables/curves.csv",
    ):
        assert name in listed["files"]
    assert {"provenance/train-maml.json", "provenance/samples.json"} <= listed["files"].keys()
    assert "provisional, without test@multi_task_0" in record.told(inside.record)
    assert content(paths.results("quick")) == inside.before, "the results that DVC manages stay as they are"
    assert not list((paths.RESUME / "record").iterdir())


def test_its_tables_and_claims_are_of_what_was_run(inside):
    assert list(read_table(inside.record / "tables/accuracy.csv", ["variant"])["variant"]) == list(RUN)
    claims = read_table(inside.record / "claims/claims.csv", ["claim", "verdict", "reason"])
    claims = claims.set_index(claims["claim"].astype(str))
    assert claims.loc["1", "verdict"] == "failed its gate" and "too short" in claims.loc["1", "reason"]
    assert claims.loc["12", ["verdict", "reason"]].tolist() == ["not run yet", "not run yet: the plain GAN"]
    assert claims.loc["7", "reason"] == "a variant is absent: n_plus_1_real_fake", "the study never has it"


def test_its_page_says_so_first(inside):
    page = " ".join((inside.record / "report.html").read_text(encoding="utf-8").split())
    assert "<strong>Provisional.</strong> 2 of 4 variants have been run." in page
    assert "Not run yet: multi_task_0, n_plus_1_hybrid, the plain GAN." in page
    assert page.index('id="provisional"') < page.index('id="answer"')
    told = json.loads((inside.record / "figures/outer_losses.json").read_text())["caption"]
    assert "No result in this study: n_plus_1_real_fake, n_plus_1_hybrid." in told


def test_it_agrees_with_parameters_and_code(inside):
    assert list(check.compare(inside.params, inside.record)) == []
    changed = inside.params.current.model_copy(
        update={"inner": inside.params.current.inner.model_copy(update={"steps": 2})}
    )
    lines = list(check.compare(inside.params.model_copy(update={"studies": {"quick": changed}}), inside.record))
    assert any(line.startswith("train@maml: ") for line in lines) and any(line.startswith("report: ") for line in lines)


def test_which_stages_are_computed():
    params = parameters.load(Path(__file__).parents[2] / "params.yaml").of("quick")
    stages, done = registry.stages(params), {"encoder", "judge", "train@maml", "test@maml"}
    assert list(partial.needed(params, stages, done)) == ["samples", "summary", "claims", "report"]
    assert partial.needed(params, stages, {"train@maml"}) == {}, "nothing was tested, as in study search"
    left = partial.waiting(params, done)
    assert "test@n_plus_1" in left and "test@maml" not in left and left[-1] == "gan"
    assert list(params.without(left).variants) == ["maml"]


def test_which_results_stand(inside):
    """Whole, and made by the present code with the present parameters and inputs; DVC is not asked."""
    stages, locked = registry.stages(inside.params), lock(inside.params) | {"gone": {"deps": []}}
    assert set(partial.finished(inside.params, stages, locked)) == set(DONE)
    for changed in ("megan/data", "results/quick/config/prepare.yaml"):
        locked["prepare"] = {"deps": [{"path": changed, "md5": "another"}]}
        assert set(partial.finished(inside.params, stages, locked)) == set(DONE) - {"prepare"}
    inner = inside.params.current.inner.model_copy(update={"learning_rate": 0.2})
    current = inside.params.current.model_copy(update={"inner": inner})
    params = inside.params.model_copy(update={"studies": {"quick": current}})
    assert set(partial.finished(params, stages, locked)) == {"config", "download", "encoder", "judge"}


def test_a_damaged_or_replaced_result_does_not_stand(inside, tmp_path, monkeypatch):
    shutil.copytree(inside.folder, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    stages, locked = registry.stages(inside.params), lock(inside.params)
    with open(paths.trained("quick", "maml") / "curve.csv", "a") as file:
        file.write("\n")
    assert set(DONE) - set(partial.finished(inside.params, stages, locked)) == {"train@maml"}
    record_of_judge = paths.judge("quick") / "record.json"
    record_of_judge.write_text(json.dumps(json.loads(record_of_judge.read_text()) | {"again": 1}))
    left = set(DONE) - set(partial.finished(inside.params, stages, locked))
    assert left == {"train@maml", "test@maml", "test@n_plus_1"}, "they were tested with another judge"


def test_a_record_that_is_too_large_is_refused(tmp_path):
    for name, mib in (("weights", 3), ("figures", 11), ("tables", 1), ("claims", 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "large").write_bytes(bytes(mib * manifest.MIB))
    manifest.check_room(tmp_path, "mine")
    (tmp_path / "report.html").write_bytes(b"more")
    with pytest.raises(record.RecordError, match=r"of study mine .* \(most in figures 11.0, weights 3.0, tables 1.0\)"):
        manifest.check_room(tmp_path, "mine")


# Weights


def test_weights_say_how_they_are_kept(inside):
    for name in RUN:
        about = record.verify(inside.record)["weights"][name]
        assert about["dtype"] == ("float32" if about["changed"] else "float16") and about["predictions"] >= 1000
        assert f"weights of {name} as {about['dtype']}" in record.told(inside.record)
        kept = load_file(inside.record / "weights" / f"{name}.safetensors")
        assert {str(value.dtype) for value in kept.values()} == {f"torch.{about['dtype']}"}


@pytest.mark.parametrize(("changed", "dtype", "bytes_each"), [(0, "float16", 2), (1, "float32", 4)])
def test_half_precision_only_if_no_prediction_changes(inside, monkeypatch, changed, dtype, bytes_each):
    monkeypatch.setattr(weights, "_measured", lambda *_: (1000, changed))
    one = weights.best(inside.params, 4)["maml"]
    size = sum(value[0].numel() for value in load_file(paths.trained("quick", "maml") / "weights.safetensors").values())
    assert one.about["dtype"] == dtype and size * bytes_each < len(one.packed) < size * bytes_each + 4096


def test_a_change_of_the_weights_is_measured(inside):
    """Weights that are exact in float16 change no prediction; those that it cannot hold change some."""
    row = load_file(paths.trained("quick", "maml") / "weights.safetensors")
    exact = {key: value[0].half().float() for key, value in row.items()}
    assert weights._measured(inside.params, "maml", 3, exact) == (1008, 0)
    beyond = {key: value[0] * 1e7 for key, value in row.items()}  # float16 ends at 65,504
    assert weights._measured(inside.params, "maml", 3, beyond)[1] > 100


def test_in_a_fresh_clone_they_are_used_at_once(inside, tmp_path, monkeypatch):
    """Nothing but params.yaml and the record: the classifier answers, and `show` makes the data and draws."""
    shutil.copy(inside.folder / paths.PARAMS, tmp_path)
    shutil.copytree(inside.record, tmp_path / "results/record/quick")
    support, labels, queries, _ = tiny.some_task(inside.params)
    monkeypatch.chdir(tmp_path)
    for name, value in (("DEVICE", "cpu"), ("THREADS", "1")):
        monkeypatch.setenv(f"MEGAN_{name}", value)
    classifier = FewShotClassifier.from_checkpoint("results/record/quick", variant="n_plus_1").fit(support, labels)
    assert set(classifier.predict(queries)) <= set(np.unique(labels))
    assert command_line.main(["show", "n_plus_1"]) == 0
    (drawn,) = (tmp_path / "results/quick/shown").iterdir()
    seed = record.verify(tmp_path / "results/record/quick")["weights"]["n_plus_1"]["seed"]
    assert drawn.name == f"n_plus_1-seed{seed}-task0.png" and drawn.stat().st_size > 10_000
