"""`python -m megan status`: what is done, how fast it was, and how long the rest takes."""

import json
import os
from pathlib import Path

import jobs
import pytest
import torch

from megan import __main__ as command_line
from megan import status
from megan.config import paths
from megan.runs import checkpoint, storage
from megan.stages import registry


def leave(params, name: str, item: str, **measured: float) -> None:
    stage = registry.find(params, name, item)
    stage.folder.mkdir(parents=True, exist_ok=True)
    told = {"diverged": {"1": {"meta_step": 3, "loss": None}}} if (name, item) == ("train", "a") else {"diverged": {}}
    jobs.leave_record(params, name, item, code=registry.code(stage), **told)
    storage.write_json(paths.provenance(params.study, f"{name}-{item}"), measured)


def line(text: str, variant: str) -> list[str]:
    (found,) = [line for line in text.splitlines() if line.startswith(f"{variant} ")]
    return [cell for cell in found.split("  ") if cell]


@pytest.fixture
def study(made_up):
    """Three seeds of 800 meta-steps of 8 tasks, 20 meta-test tasks: `a` done, `b` half way, `c` and `d` left."""
    params = made_up(variants=("a", "b", "c", "d")).params
    leave(params, "train", "a", tasks_per_second=100.0)
    leave(params, "test", "a", wall_seconds=6.0)
    state = {"step": torch.tensor(400), "theta/w": torch.zeros(2)}
    checkpoint.Resume("quick/train@b", "0" * 64).save(state, {"progress": json.dumps({"seconds": 48.0, "rows": []})})
    return params


def test_done_begun_and_left(study):
    told = status.table(study)
    assert told.startswith("study quick: of 4 variants 1 trained, 1 tested; ")
    assert [cell.strip() for cell in line(told, "a")] == [
        "a", "headline", "3 (1 diverged)", "800 of 800", "100", "done", "done",
    ]  # fmt: skip
    # Half of 800 meta-steps of 24 tasks at 200 a second, and 60 meta-test tasks at 10 a second.
    assert [cell.strip() for cell in line(told, "b")][3:] == ["400 of 800", "200", "begun", "left", "54 s"]
    assert "~150" in "".join(line(told, "c")) and line(told, "c")[-1].strip() == "2 min"
    assert "other stages: config left, download left" in told


def test_a_process_that_lives_is_running(study):
    holder = paths.RESUME / "quick" / "train@b" / "holder.pid"
    holder.write_text(f"{os.getpid()}\n")
    assert "running" in " ".join(line(status.table(study), "b"))
    holder.write_text("999999999\n")
    assert "begun" in " ".join(line(status.table(study), "b"))


def test_changed_parameters_or_code_are_stale(study, monkeypatch):
    tier = study.current.tiers.headline.model_copy(update={"meta_steps": 900})
    tiers = study.current.tiers.model_copy(update={"headline": tier})
    changed = study.model_copy(update={"studies": {"quick": study.current.model_copy(update={"tiers": tiers})}})
    assert "stale" in " ".join(line(status.table(changed), "a"))
    monkeypatch.setattr(status.registry, "code", lambda *_: {})
    assert "stale" in " ".join(line(status.table(study), "a"))


def test_a_damaged_checkpoint_is_no_checkpoint(study):
    (file,) = Path(paths.RESUME / "quick" / "train@b").glob("*/state.safetensors")
    file.write_bytes(b"x")
    assert "0 of 800" in " ".join(line(status.table(study), "b"))


def test_as_a_command(monkeypatch, capsys):
    monkeypatch.chdir(jobs.ROOT)
    assert command_line.main(["status", "anchor", "search"]) == 0
    told = capsys.readouterr().out
    assert "study anchor: of 1 variants" in told and "study search: of 16 variants" in told
    assert command_line.main(["status", "anhcor"]) == 1
    assert "unknown study 'anhcor'; did you mean 'anchor'?" in capsys.readouterr().err
