"""What a machine without a compiler loses: kernels compiled beforehand, and plain torch, beside the best peer.

    python -m tools.build_wheel
    python -m benchmarks.levels dist/megan-*-py3-none-manylinux_2_17_x86_64.whl
    python -m benchmarks.levels WHEEL --problems maml-q1 --seconds 60

The second-order meta-gradient of four tasks, on one thread of one process. Everybody has one turn a
round; the least processor time of each counts, so that other work on the machine disturbs little.
The peer is the plain autograd loop, the best of them in `benchmarks.peers`.
"""

import argparse
import ctypes
import os
import platform
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import torch

from benchmarks import problems, tables
from benchmarks.contenders import LOOPS, ours
from benchmarks.contenders.problem import load
from megan.ops import native, prebuilt

TASKS = 4


def built_here() -> dict | None:
    """The functions of kernels that this machine's compiler makes, or None where it has none."""
    with patch.object(prebuilt, "places", list):
        return _loaded()


def beforehand(wheel: Path, folder: Path) -> dict[str, dict]:
    """By level the functions of the wheel's libraries that this processor can run."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if f"/{prebuilt.FOLDER}/" in name]
        libraries = [Path(archive.extract(name, folder)) for name in names]
    found = {}
    for level in prebuilt.usable(platform.machine(), prebuilt.processor_flags()):
        fitting = [path for path in libraries if path.name.endswith(f"-{level}.so")]
        for path in fitting:
            with patch.object(native.compiled, "library", lambda *_, path=path: ctypes.CDLL(str(path))):
                found[level] = _loaded()
    return found


def _loaded() -> dict | None:
    with patch.object(native, "_functions", {}) as functions, patch.object(native, "_failure", None):
        return dict(functions) if native.available() else None


@contextmanager
def computing_with(functions: dict | None) -> Iterator[None]:
    """The engine with these kernels, or in plain torch."""
    with (
        patch.object(native, "_functions", functions or {}),
        patch.dict(os.environ, MEGAN_KERNEL="native" if functions else "torch"),
    ):
        yield


def least(turns: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """The least processor time of each over rounds of one turn each, at least three."""
    for turn in turns.values():
        turn()
    best, rounds, end = dict.fromkeys(turns, float("inf")), 0, time.monotonic() + seconds
    while rounds < 3 or time.monotonic() < end:
        for name, turn in turns.items():
            start = time.process_time()
            turn()
            best[name] = min(best[name], time.process_time() - start)
        rounds += 1
    return best


def measure(kind: problems.Kind, kernels: dict[str, dict | None], seconds: float) -> tables.Row:
    """How many times as fast as the loop: one row."""
    with tempfile.TemporaryDirectory() as folder:
        problems.write(kind, TASKS, torch.float32, Path(folder) / "problem.pt")
        problem = load(Path(folder) / "problem.pt", range(TASKS), "cpu")
    peer = import_module(f"benchmarks.contenders.{LOOPS[kind.variant]}").Contender(problem)

    def turn(functions: dict | None) -> Callable[[], None]:
        mine = ours.Contender(problem)  # its own, since a recorded chunk keeps the kernels of its first turn

        def run() -> None:
            with computing_with(functions):
                mine.gradient()

        return run

    turns = {"autograd loop": peer.gradient} | {name: turn(functions) for name, functions in kernels.items()}
    spent = least(turns, seconds)
    return {"problem": kind.name} | {name: f"{spent['autograd loop'] / spent[name]:.2f}" for name in turns}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--problems", nargs="+", choices=list(problems.KINDS), default=list(problems.KINDS))
    parser.add_argument("--seconds", type=float, default=30, help="a problem")
    options = parser.parse_args()
    os.environ |= {"MEGAN_THREADS": "1", "MEGAN_CHUNK": str(TASKS)}
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        here = built_here()
        kernels = ({"built here": here} if here else {}) | beforehand(options.wheel, Path(folder))
        kernels |= {"plain torch": None}
        rows = [measure(problems.KINDS[name], kernels, options.seconds) for name in options.problems]
    print(tables.text(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
