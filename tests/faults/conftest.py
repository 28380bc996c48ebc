"""A tiny study whose stages take a fraction of a second, and the server that runs them with faults."""

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest
import yaml

from megan.config import params, paths
from megan.data import packed

ROOT = Path(__file__).parents[2]
DOCUMENT = params.resolved(params.read(ROOT / "params.yaml"))
VARIANTS = ("maml", "n_plus_1")
ENCODERS = ("encoder", "judge")  # which save their state at every step here

RESULTS = {
    "download": [paths.raw("quick")],
    "prepare": [paths.prepared("quick")],
    "encoder": [paths.encoder("quick")],
    "judge": [paths.judge("quick")],
    "gan": [paths.gan("quick")],
    **{f"train {variant}": [paths.trained("quick", variant)] for variant in VARIANTS},
    **{f"test {variant}": [paths.tested("quick", variant)] for variant in VARIANTS},
    "search": [paths.results("quick") / "search"],
    "samples": [paths.samples("quick")],
    "summary": [paths.tables("quick"), paths.metrics("quick")],
    "claims": [paths.claims("quick")],
    "report": [paths.figures("quick"), paths.report("quick")],
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)


@dataclass(frozen=True)
class Ended:
    """How a stage ended: the exit code, or minus the signal; and what it printed."""

    code: int
    events: int
    output: str

    @property
    def lines(self) -> list[str]:
        """What it said for a person, without bars of progress."""
        return [line for line in self.output.replace("\r", "\n").splitlines() if line.strip() and "|" not in line]


class Server:
    """Runs stages in folders; see server.py."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.environment = environment
        program = Path(__file__).with_name("server.py")
        self.process = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | environment | {"PYTHONPATH": str(ROOT)}, cwd=folder,
        )  # fmt: skip

    def run(self, folder: Path, *arguments: str, fault: dict[str, Any] | None = None, **environment: str) -> Ended:
        request = {
            "folder": str(folder), "arguments": arguments, "fault": fault,
            "set": {"megan.models.pretraining.SAVE_EVERY": 1} if arguments[0] in ENCODERS else {},
            "environment": self.environment | environment,
        }  # fmt: skip
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        return Ended(os.waitstatus_to_exitcode(answer["status"]), answer["events"] or 0, answer["output"])

    def good(self, folder: Path, *arguments: str, **environment: str) -> Ended:
        """Run a stage that must come to its end."""
        ended = self.run(folder, *arguments, **environment)
        assert ended.code == 0, f"{' '.join(arguments)}: {ended.output}"
        return ended

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {
        "MEGAN_DEVICE": "cpu",
        "MEGAN_THREADS": "1",
        "MEGAN_CHUNK": "2",
        "MEGAN_MIRROR": "",
        "OMP_NUM_THREADS": "1",
    }
    running = Server(tmp_path_factory.mktemp("server"), environment)
    yield running
    running.end()


def tiny_document() -> dict[str, Any]:
    """`params.yaml` with two variants and a handful of steps, resumable at each."""
    document = copy.deepcopy(DOCUMENT)
    document["study"] = "quick"
    document["variants"] = {name: document["variants"][name] for name in VARIANTS}
    document["studies"] = {"quick": document["studies"]["quick"]}
    study = document["studies"]["quick"]
    study["tasks"].update(ways=2, train_queries=1, test_queries=2)
    study["inner"].update(steps=2, test_steps=2)
    for network in ("encoder", "judge"):
        study[network].update(steps=3, batch_size=4, stem_stride=2, validation_drawers=1)
    study["gan"].update(dataset="glyphs", images=[4, 2], classes=2, updates=2, batch_size=4, seeds=[0])
    study["train"].update(meta_batch=2, log_every=2, validate_every=3, validation_tasks=2, checkpoint_every=1)
    for tier in study["tiers"].values():
        tier.update(meta_steps=5, seeds=[0, 1], test_tasks=4)
    study["test"].update(sample_tasks=2, draws=2)
    document["variant_defaults"].update(fake_steps=1, noise_size=4)
    return document


def write_params(folder: Path, document: dict[str, Any]) -> None:
    (folder / paths.PARAMS).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def write_splits(folder: Path) -> None:
    """Random images in place of drawn ones: of as many characters as any variant takes."""
    generator = numpy.random.default_rng(0)
    for name in ("train", "validation", "test"):
        images = {letter: generator.integers(0, 256, (6, 20, 28, 28), dtype=numpy.uint8) for letter in "AB"}
        packed.write(folder / paths.split("quick", name), images, {letter: list("abcdef") for letter in "AB"})


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parameters and prepared splits, nothing trained. Only to be copied."""
    folder = tmp_path_factory.mktemp("tiny") / "project"
    folder.mkdir()
    write_params(folder, tiny_document())
    write_splits(folder)
    return folder


def made(folder: Path) -> dict[str, bytes]:
    """All that must repeat, by path: results without provenance, which tells times and hosts."""
    files = (path for part in ("data", "results") for path in sorted((folder / part).rglob("*")))
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if path.is_file() and "provenance" not in path.parts
    }


def left_over(folder: Path) -> list[str]:
    """Temporary files, and state of unfinished work."""
    found = [
        *folder.rglob("*.tmp"),
        *folder.rglob("*.part"),
        *folder.glob(".resume/**/state.safetensors"),
        *folder.rglob("holder.pid"),
    ]
    return [str(path.relative_to(folder)) for path in found]


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Makes throw-away copies of a folder."""
    count = 0

    def copy_of(folder: Path) -> Path:
        nonlocal count
        count += 1
        return Path(shutil.copytree(folder, tmp_path / f"copy{count}"))

    yield copy_of
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="session")
def undisturbed(server, tiny, tmp_path_factory) -> tuple[Path, dict[str, tuple[int, float]]]:
    """A folder after every stage, and of each its events and seconds. Only to be copied."""
    folder = Path(shutil.copytree(tiny, tmp_path_factory.mktemp("undisturbed") / "project"))
    server.good(folder, "download")  # and so every module is loaded from the disk's cache, as it is later
    measures = {}
    for stage in RESULTS:
        if stage == "prepare":  # of a folder of its own: the other stages go on from random images
            continue
        began = time.monotonic()
        ended = server.good(folder, *stage.split())
        measures[stage] = ended.events, time.monotonic() - began
    return folder, measures


def unmake(folder: Path, stage: str) -> None:
    for path in RESULTS[stage]:
        if (folder / path).is_dir():
            shutil.rmtree(folder / path)
        else:
            (folder / path).unlink()


def assert_same(folder: Path, undisturbed: Path, seed: object) -> None:
    ours, theirs = made(folder), made(undisturbed)
    assert [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)] == [], seed
    assert left_over(folder) == [], seed
