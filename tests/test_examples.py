"""The examples run as their first lines say."""

import subprocess
import sys
from pathlib import Path

import tiny
from PIL import Image

from megan.config import paths
from megan.data import channels, packed

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_every_example_is_run_here():
    assert [path.name for path in EXAMPLES.iterdir() if path.is_file()] == ["classify_folder.py"]


def test_classify_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in (("DEVICE", "cpu"), ("THREADS", "1")):
        monkeypatch.setenv(f"MEGAN_{name}", value)
    checkpoint = tiny.train(tiny.settle(), "n_plus_1")
    drawings = channels.without_axis(packed.load(paths.split("quick", "test")).images)
    Path("new").mkdir()
    for number, name in enumerate(("alpha", "beta", "gamma")):
        Path("known", name).mkdir(parents=True)
        for drawing in range(2):
            Image.fromarray(255 - drawings[number, drawing].numpy()).save(Path("known", name, f"{drawing}.png"))
        Image.fromarray(255 - drawings[number, 2].numpy()).save(Path("new", f"{name}.png"))
    command = [sys.executable, str(EXAMPLES / "classify_folder.py"), str(checkpoint), "known", "new"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["alpha.png", "beta.png", "gamma.png"]
    for line in lines:
        name, share = line.split()[1:]
        assert name in ("alpha", "beta", "gamma") and 33 <= int(share.strip("(%)")) <= 100
