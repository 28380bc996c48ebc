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
from megan.record import check, manifest, partial, weights, writing
from megan.report.inputs import read_table
from megan.runs import storage
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


def test_a_table_that_its_stage_did_not_write_is_told_even_if_the_manifest_lists_it(inside, tmp_path):
    folder = tmp_path / "record" / "quick"
    shutil.copytree(inside.record.parent, tmp_path / "record")
    assert list(check.compare(inside.params, folder)) == []
    with open(folder / "tables" / "seeds.csv", "a") as file:
        file.write("\n")
    listed = json.loads((folder / manifest.NAME).read_text())
    listed["files"] = manifest.digests(folder)
    (folder / manifest.NAME).write_text(json.dumps(listed))
    (line,) = check.compare(inside.params, folder)
    assert "tables/seeds.csv is not what" in line and "tables/record.json says that its stage wrote" in line


@pytest.mark.parametrize(("damage", "told"), [(lambda path: path.unlink(), "is missing; restore it from git"),
                                              (lambda path: path.write_text("alert()"), "is altered")])  # fmt: skip
def test_a_damaged_library_of_the_page_is_told(inside, tmp_path, damage, told):
    shutil.copytree(inside.record.parent, tmp_path / "record")
    (library,) = (tmp_path / "record").glob("library-*.js")
    damage(library)
    (line,) = check.compare(inside.params, tmp_path / "record" / "quick")
    assert line.startswith(f"{library}, which the page loads, {told}")


def test_a_study_of_which_nothing_stands_has_no_record(inside, monkeypatch):
    monkeypatch.setattr(writing, "_locked", lambda study: {})
    monkeypatch.setattr(paths, "RECORD", Path("elsewhere"))
    with pytest.raises(record.RecordError, match="nothing of study 'quick' stands in dvc.lock; run: dvc repro"):
        writing.make(inside.params, finished=True)
    assert not Path("elsewhere/quick").exists()


def test_a_record_whose_writer_was_killed_between_two_renames_is_put_back(inside, tmp_path, monkeypatch):
    """A dead process had moved the old record away, and not yet the new one to its place."""
    monkeypatch.setattr(storage, "_lives", lambda pid: False)
    old = tmp_path / f".quick.{storage._host()}.123.old.tmp"
    shutil.copytree(inside.record, old)
    storage.restore(tmp_path / "quick")
    assert record.verify(tmp_path / "quick")["study"] == "quick" and not old.exists()
    with pytest.raises(ZeroDivisionError), storage.replacing_folder(tmp_path / "quick"):
        1 / 0  # noqa: B018
    assert record.verify(tmp_path / "quick")["study"] == "quick", "a present folder stays"


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
