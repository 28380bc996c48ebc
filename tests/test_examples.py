"""The examples run as their first lines say."""

import subprocess
import sys
from pathlib import Path

import tiny
from pictures import write_example

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_every_example_is_run_here():
    assert [path.name for path in EXAMPLES.iterdir() if path.is_file()] == ["classify_folder.py"]


def test_classify_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in (("DEVICE", "cpu"), ("THREADS", "1")):
        monkeypatch.setenv(f"MEGAN_{name}", value)
    checkpoint = tiny.train(tiny.settle("own"), "n_plus_1")
    write_example(tmp_path)
    command = [sys.executable, str(EXAMPLES / "classify_folder.py"), str(checkpoint), "known", "new"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    known = sorted(path.name for path in Path("known").iterdir())
    asked = sorted(path.name for path in Path("new").iterdir())
    lines = [line.split(": ") for line in done.stdout.splitlines()]
    assert [name for name, _ in lines] == asked and len(asked) == 30 and len(known) == 3
    for _, answer in lines:
        name, _, share = answer.rpartition(" ")
        assert name in known and 33 <= int(share.strip("(%)")) <= 100
