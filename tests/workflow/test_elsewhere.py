"""Work on another machine, by DVC alone: the recipe of docs/elsewhere.md, rehearsed on one machine."""

import os
import shutil
import signal
from pathlib import Path

import psutil

from tests.workflow.conftest import Project, ran, wait_for

TARGET = "samples"  # all that wants a GPU: trainings, meta-tests, and the measures of their fakes


def without_git(project: Project, folder: Path) -> Project:
    """A copy of the files that git tracks, and of nothing else."""
    for name in project.run("git ls-files").split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project.path(name), folder / name)
    there = Project(folder, project.environment)
    there.run("dvc config --local core.no_scm true")
    return there


def stop(there: Project, address: str) -> None:
    """Send SIGTERM to the stage that is at work, as a cluster does, once it has saved its state."""
    holder = there.path(f".resume/quick/{address}/holder.pid")
    wait_for(lambda: list(holder.parent.glob("*/state.safetensors")), f"a checkpoint of {address}")
    os.kill(psutil.Process(int(holder.read_text())).pid, signal.SIGTERM)


def test_results_made_elsewhere_come_home_through_a_remote(prepared, spare, tmp_path):
    home = spare(prepared[0])
    home.run(f"dvc remote add --default carried {tmp_path / 'carried'}")
    home.edit_params(lambda document: document["studies"]["quick"]["tiers"]["headline"].update(meta_steps=60))
    home.run("git add -A")
    home.run("git commit -qm remote")
    home.run("dvc push")

    there = without_git(home, tmp_path / "there")
    there.run("dvc pull --allow-missing")
    first = there.start(f"dvc repro {TARGET}", tmp_path / "log")
    try:
        stop(there, "train@maml")
        first.wait(60)
    finally:
        there.end()
    assert first.returncode, "the signal came after the end"
    output = there.run(f"dvc repro {TARGET}")
    assert "continuing from meta-step" in output and "download" not in ran(output) and "encoder" not in ran(output)
    there.run("dvc push")

    shutil.copyfile(there.path("dvc.lock"), home.path("dvc.lock"))
    home.run("dvc pull --allow-missing")
    assert ran(home.run(f"dvc repro {TARGET}")) == [], "what was made elsewhere is made again"
    made = [f"results/quick/{name}" for name in ("train", "test", "samples")]
    assert home.content(*made) == there.content(*made)
    assert ran(home.run("dvc repro summary")) == ["summary"]
