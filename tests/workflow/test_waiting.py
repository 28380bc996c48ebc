"""A new snakemake asks Slurm for the jobs of its own folder. Here squeue is made up; test_slurm.py has a real one."""

import subprocess
import sys
from pathlib import Path

import pytest

from workflow import waiting


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """`squeue(text, code)`: let Slurm answer so, from now on."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def answer(text: str, code: int = 0) -> None:
        (folder / "answer").write_text(text.format(here=tmp_path / "here"))
        (folder / "squeue").write_text(f"#!/bin/sh\ncat {folder}/answer; echo told >&2; exit {code}\n")
        (folder / "squeue").chmod(0o755)

    return answer


def test_jobs_of_this_folder_alone(squeue, monkeypatch):
    squeue(
        "7|rule_compute_train_maml|{here}\n8|rule_compute_test_maml|/another\n9|(null)|{here}\n"
        "10|rule_compute_gan|{here}/../here\n11|rule_all|{here}\n"
    )
    assert waiting.submitted() == ["7", "10", "11"]
    monkeypatch.setenv("SLURM_JOB_ID", "11")  # snakemake itself runs as a job
    assert waiting.submitted() == ["7", "10"]


def test_it_waits_until_they_have_ended(squeue, monkeypatch, capsys):
    squeue("7|rule_compute_train_maml|{here}\n")
    looks, sleep = [], waiting.time.sleep

    def look(seconds: float) -> None:
        if seconds != waiting.LOOK_EVERY:  # of subprocess
            return sleep(seconds)
        looks.append(seconds)
        if len(looks) == 3:
            squeue("")

    monkeypatch.setattr(waiting.time, "sleep", look)
    waiting.wait_for_others()
    assert len(looks) == 3
    assert "jobs of this folder (7)" in (told := capsys.readouterr().err) and "scancel 7" in told


def test_a_slurm_that_does_not_answer(squeue, monkeypatch, capfd):
    """As where only its programs are installed, or where the controller starts anew."""
    squeue("7|rule_compute_train_maml|{here}\n", code=1)
    assert waiting.submitted() is None
    monkeypatch.setattr(waiting, "PAUSE", 0.0)
    capfd.readouterr()
    waiting.wait_for_others(3)
    told = capfd.readouterr().err.splitlines()
    assert told == ["told"] * 3 + ["Slurm does not answer; going on as if it had no jobs of this folder"]


def test_no_answer_does_not_end_the_waiting(squeue, monkeypatch):
    answers: list[list[str] | None] = [None, ["7"], None, ["7"], []]
    monkeypatch.setattr(waiting, "submitted", lambda: answers.pop(0))
    monkeypatch.setattr(waiting, "PAUSE", 0.0)
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.0)
    waiting.wait_for_others(2)
    assert answers == []


def test_one_snakemake_at_a_time(tmp_path):
    """A second one for the same study waits until the first has ended, by whatever signal."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import waiting; waiting.be_alone(sys.argv[2]); print('alone')"
    hold = "; sys.stdout.flush(); import time; time.sleep(60)"
    folder = str(Path(waiting.__file__).parent)

    def start(code: str, study: str) -> subprocess.Popen:
        command = [sys.executable, "-c", code, folder, study]
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first = start(code + hold, "quick")
    assert first.stdout.readline() == "alone\n"
    assert start(code, "another").communicate(timeout=20)[0] == "alone\n"
    second = start(code, "quick")
    told = second.stderr.readline()
    assert told.startswith(f"another snakemake (process {first.pid} on ") and "runs study quick here; waiting" in told
    first.kill()
    first.communicate()
    assert second.communicate(timeout=20)[0] == "alone\n"


def test_no_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert waiting.submitted() == []
