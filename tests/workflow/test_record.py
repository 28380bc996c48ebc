"""Committed records: complete, unaltered, and in agreement with the lock that came with them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from megan import __main__ as command_line
from megan import record
from megan.config import params as parameters
from megan.config import paths
from megan.record import check, manifest, pages
from megan.runs import result, storage
from megan.stages import registry
from tests.workflow.conftest import ROOT, Project, ran
from tools.findings import records

BEFORE_THE_FREEZE = ("omniglot_2500",)
RECORDED = sorted(path.parent for path in (ROOT / paths.RECORD).glob(f"*/{record.MANIFEST}"))


@pytest.fixture(scope="module")
def recorded(finished, tmp_path_factory) -> Project:
    """The finished study after `record`. Only to be copied."""
    project = finished[0].copy(tmp_path_factory.mktemp("recorded") / "project")
    project.run("python -m megan record --weights 4")
    return project


@pytest.fixture
def inside(recorded, spare, monkeypatch) -> Project:
    """A copy of it, and the working directory of the test."""
    project = spare(recorded)
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(registry, "ROOT", project.folder)
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    return project


def content_md5(folder: Path) -> str:
    """DVC's digest of a folder: that of the sorted list of its files' digests."""
    files = [
        {"md5": hashlib.md5(path.read_bytes()).hexdigest(), "relpath": path.relative_to(folder).as_posix()}
        for path in folder.rglob("*")
        if path.is_file()
    ]
    return (
        hashlib.md5(json.dumps(sorted(files, key=lambda file: file["relpath"]), sort_keys=True).encode()).hexdigest()
        + ".dir"
    )


def compared_with_lock(folder: Path) -> set[str]:
    """Outputs of the record's `dvc.lock` that lie whole in it; asserts that each is the one that the lock names."""
    lock: dict[str, Any] = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    outs = {out["path"]: out["md5"] for entry in lock.values() for out in entry["outs"]}
    whole = {
        path
        for path in outs
        if (folder / Path(*Path(path).parts[2:])).is_file() or Path(path).name in ("tables", "claims")
    }
    page = f"results/{folder.name}/{pages.NAME}"  # lies there without its library: see tests/record/test_pages.py
    for path in whole - {page}:
        copy = folder / Path(*Path(path).parts[2:])
        assert outs[path] == (content_md5(copy) if copy.is_dir() else hashlib.md5(copy.read_bytes()).hexdigest()), path
    return whole


@pytest.mark.skipif(not RECORDED, reason="no record has been committed yet: see docs/record.md")
@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
def test_committed_record(folder):
    listed = record.verify(folder)
    assert listed["study"] == folder.name
    if "dvc.lock" in listed["files"]:
        assert compared_with_lock(folder)
    else:  # made by more than one commit, so by no one lock: it names them
        assert len(listed["commits"]) > 1


def test_committed_records_are_small():
    """Those of the project together, since everybody who clones it gets them."""
    libraries = sum(path.stat().st_size for path in (ROOT / paths.RECORD).glob("*.js"))
    sizes = [manifest.size(ROOT / paths.RECORD / study) for study in records.ORDER]
    assert all(sizes) and sum(sizes) + libraries <= 15 * manifest.MIB
    assert sum(manifest.size(folder / "weights") for folder in RECORDED) <= 4 * manifest.MIB


@pytest.mark.skipif(not RECORDED, reason="no record has been committed yet: see docs/record.md")
@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
def test_frozen_stages_are_those_of_the_record(folder, monkeypatch):
    """From the first long run on, code and parameters from download to samples stay as they are (docs/record.md)."""
    if folder.name in BEFORE_THE_FREEZE:
        pytest.skip("made before the freeze; its commit is in its MANIFEST.json")
    monkeypatch.chdir(ROOT)
    assert record.frozen(parameters.load(), folder) == []


@pytest.mark.parametrize("study", BEFORE_THE_FREEZE)
def test_an_old_record_without_parameters_of_its_data_is_told(study, monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = record.frozen(parameters.load(), ROOT / paths.RECORD / study)
    assert "prepare: made by an older version of the code, which did not keep its parameters" in lines


def test_a_change_after_the_freeze_is_found(tmp_path, monkeypatch):
    """A record made by hand of two stages agrees; then a parameter and a source file change."""
    monkeypatch.chdir(ROOT)
    params = parameters.load().of("anchor")
    folder = tmp_path / "anchor"
    train, prepare = registry.find(params, "train", "maml"), registry.find(params, "prepare")
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "prepare.yaml").write_text(yaml.safe_dump(registry.parameters(params, prepare)))
    identity = {"parameters": registry.parameters(params, train), "code": registry.code(train)}
    (folder / "train" / "maml").mkdir(parents=True)
    result.write(folder / "train" / "maml", identity, {})
    deps = [{"path": name, "md5": check.dvc_digest(ROOT / name)} for name in prepare.code]
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": {"prepare": {"deps": deps}}}))
    storage.write_json(folder / record.MANIFEST, {"study": "anchor", "files": manifest.digests(folder)})
    assert record.frozen(params, folder) == []

    settings = params.current.model_copy(update={"inner": params.current.inner.model_copy(update={"steps": 3})})
    changed = params.model_copy(update={"studies": {**params.studies, "anchor": settings}})
    (line,) = record.frozen(changed, folder)
    assert line.startswith("train@maml: ") and "inner.steps = 1, params.yaml says 3" in line
    monkeypatch.setattr(check, "dvc_digest", lambda path: "another")
    monkeypatch.setattr(registry, "code", lambda stage: identity["code"] | {"megan/stages/train.py": "another"})
    assert record.frozen(params, folder) == [
        "train@maml: the code has changed since: megan/stages/train.py",
        "prepare: the code has changed since: megan/data, megan/stages/prepare.py",
    ]


@pytest.mark.slow
def test_record_is_whole_and_agrees_with_the_lock(recorded):
    folder = recorded.path("results/record/quick")
    listed = record.verify(folder)
    assert listed["variants"] == ["maml", "n_plus_1"]
    assert not [name for name in listed["files"] if name.rpartition("/")[2].startswith(".")], (
        "Snakemake's time stamps are not git's"
    )
    assert listed["commit"] == recorded.run("git rev-parse HEAD").strip()
    for name in (
        "report.html",
        "metrics.json",
        "params.yaml",
        "tables/accuracy.csv",
        "claims/claims.json",
        "figures/accuracy.png",
        "weights/maml.safetensors",
    ):
        assert name in listed["files"]
    whole = compared_with_lock(folder)
    assert {
        "results/quick/tables",
        "results/quick/claims",
        "results/quick/metrics.json",
        "results/quick/provenance/train-maml.json",
    } <= whole


@pytest.mark.slow
def test_git_keeps_it_and_dvc_goes_on(recorded):
    assert set(recorded.run("git status --porcelain").split()) == {"??", "dvc.lock", "results/record/quick/"}
    assert recorded.run("dvc status").strip() == "Data and pipelines are up to date."


@pytest.mark.slow
def test_check_says_whether_the_code_at_hand_agrees(recorded, spare):
    project = spare(recorded)
    agreed = project.run("python -m megan record --check quick --clone")
    assert "a fresh clone has nothing to run again" in agreed
    assert project.run("git rev-parse HEAD").strip() in agreed and "agree with it" in agreed
    project.append("megan/realism/measures.py", "\n# a comment\n")
    told = project.run("python -m megan record --check quick", expect=1)
    changed = "the code has changed since: megan/realism/measures.py"
    assert f"samples: {changed}" in told and f"gan: {changed}" in told and "train@maml" not in told
    project.run("git commit -qam changed")
    told = project.run("python -m megan record --check quick --clone", expect=1)
    assert "a fresh clone would run again: " in told and "gan" in told.rpartition("again: ")[2]
    project.edit_params(lambda document: document["studies"]["quick"]["train"].update(learning_rate=0.003))
    told = project.run("python -m megan record --check quick", expect=1)
    assert "train@maml: results/quick/train/maml was made with train.learning_rate = 0.002" in told


@pytest.mark.slow
def test_lock_in_a_clone(recorded, tiny, spare):
    """With the record's lock a clone without data or results has nothing to run."""
    clone = spare(tiny)
    assert ran(clone.run("dvc repro --allow-missing --dry", expect=None)) == [
        "config"
    ]  # and no further: nothing is there
    clone.path("dvc.lock").write_bytes(recorded.path("results/record/quick/dvc.lock").read_bytes())
    assert ran(clone.run("dvc repro --allow-missing --dry")) == []


@pytest.mark.slow
def test_altered_record(inside):
    folder = inside.path("results/record/quick")
    table = folder / "tables/accuracy.csv"
    before = table.read_bytes()
    table.write_bytes(before.replace(b"0", b"1", 1))
    with pytest.raises(record.RecordError, match=r"accuracy\.csv is altered"):
        record.verify(folder)
    table.unlink()
    with pytest.raises(record.RecordError, match=r"accuracy\.csv is missing"):
        record.verify(folder)
    table.write_bytes(before)
    (folder / "more.csv").write_text("more")
    with pytest.raises(record.RecordError, match=r"more\.csv is not listed"):
        record.verify(folder)


@pytest.mark.slow
def test_stale_or_incomplete_is_refused(inside, capsys):
    before = inside.content("results/record")

    def refused(*arguments: str) -> str:
        assert command_line.main(["record", *arguments]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert inside.content("results/record") == before
        return line

    assert "MiB, more than --weights 0.01" in refused("--weights", "0.01")
    curve = inside.path("results/quick/train/maml/curve.csv")
    inside.append("results/quick/train/maml/curve.csv", "\n")
    assert "train@maml is not up to date" in refused()
    curve.unlink()
    assert "is not up to date" in refused()
    assert command_line.main(["record", "--finished"]) == 0
    listed = record.verify(inside.path("results/record/quick"))
    assert listed["variants"] == ["n_plus_1"] and listed["not_run"] == ["test@maml"]
    assert {"tables/curves.csv", "report.html", "claims/claims.csv"} <= listed["files"].keys()
    assert "test/n_plus_1/record.json" in listed["files"] and "train/maml/record.json" not in listed["files"]
