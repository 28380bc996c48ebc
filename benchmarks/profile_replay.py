"""Where a recorded meta-gradient spends its time on one core of a CPU, by operation of the native program.

    python -m benchmarks.profile_replay            # half a minute
    python -m benchmarks.profile_replay --problems maml-q1 --dry

Each operation of the program is called by itself and timed; the least of some rounds counts. Writes `replay.csv` and
`replay.md` under `benchmarks/results/cpu/`, and the tables into docs/profile.md.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch

from benchmarks import flops, machine, problems, tables
from benchmarks.contenders import ours
from benchmarks.contenders.problem import load
from benchmarks.profile_iteration import keep, matrix_product
from megan.replay import call
from megan.replay.program import Operation
from megan.replay.run import Replay

TASKS, ROUNDS = 4, 10
LABELS = {  # by the start of a target's name
    "conv_weight_grad": "weight gradient",
    "conv_data_grad": "data gradient",
    "conv": "convolution",
    "norm": "batch norm",
    "loop": "element-wise loops",
    "sum": "sums",
    "matrix_product": "heads",
}
CONVOLUTIONS = ("convolution", "data gradient", "weight gradient")
REST = "others"


def label(operation: Operation) -> str:
    """The row of the table that an operation counts for."""
    return next((name for start, name in LABELS.items() if str(operation.target).startswith(start)), REST)


def arithmetic(operation: Operation) -> int:
    """FLOPs of a convolution or of one of its gradients; of a pair, which is one call, those of both."""
    tasks, images, height, width, channels, outputs, stride, padding = (
        value for value in operation.args if isinstance(value, int)
    )
    rows, columns = ((size + 2 * padding - 3) // stride + 1 for size in (height, width))
    calls = 2 if str(operation.target).endswith("_pair") else 1
    return calls * 2 * 9 * channels * outputs * rows * columns * images * tasks


class Spent:
    """Nanoseconds, FLOPs and calls by label, of what ran since the last `clear`."""

    def __init__(self) -> None:
        self.time, self.flops, self.calls = Counter[str](), Counter[str](), Counter[str]()

    def clear(self) -> None:
        for counter in (self.time, self.flops, self.calls):
            counter.clear()

    def measured(self, operation: Operation, run: Callable[[], object]) -> Callable[[], None]:
        name = label(operation)
        work = arithmetic(operation) if name in CONVOLUTIONS else 0

        def timed() -> None:
            start = time.perf_counter_ns()
            run()
            self.time[name] += time.perf_counter_ns() - start
            self.flops[name] += work
            self.calls[name] += 1

        return timed


@contextmanager
def one_by_one(spent: Spent) -> Iterator[None]:
    """Programs that are made meanwhile call each operation by itself, and time it."""
    together, step = Replay._instructions, call.step

    def instructions(self: Replay, operations: list[Operation], place: call.Place) -> Callable[[], None]:
        calls = [spent.measured(operation, together(self, [operation], place)) for operation in operations]

        def run() -> None:
            for one in calls:
                one()

        return run

    def other(operation: Operation, place: call.Place) -> Callable[[], object]:
        return spent.measured(operation, step(operation, place))

    with patch.object(Replay, "_instructions", instructions), patch.object(call, "step", other):
        yield


def least(run: Callable[[], None]) -> float:
    """Seconds of the fastest of some rounds."""
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return min(found)


def measure(kind: problems.Kind) -> tuple[list[tables.Row], dict[str, str]]:
    """The rows of a problem's table, and what they were measured on.

    **Raises** `AssertionError` if MAML's convolutions have other FLOPs than the mathematics needs (`flops.maml`).
    """
    with tempfile.TemporaryDirectory() as folder:
        problems.write(kind, TASKS, torch.float32, Path(folder) / "problem.pt")
        problem = load(Path(folder) / "problem.pt", range(TASKS), "cpu")
    peak = matrix_product("cpu")
    whole = ours.Contender(problem)
    whole.gradient()
    seconds = least(whole.gradient)
    spent, best = Spent(), Counter[str]()
    with one_by_one(spent):
        apart = ours.Contender(problem)
        apart.gradient()
    for _ in range(ROUNDS):
        spent.clear()
        apart.gradient()
        best = Counter({name: min(best.get(name, taken), taken) for name, taken in spent.time.items()})
    peak = max(peak, matrix_product("cpu"))
    counted = sum(spent.flops.values())
    needed = flops.maml(TASKS, problem.ways, len(problem.query_labels), 5)
    if kind.variant == "maml" and counted != needed:
        raise AssertionError(f"{counted} FLOPs counted, {needed} needed: the program does more or less than it should")
    rows = [
        _row(name, best[name] / 1e9, seconds, spent.flops[name], peak, spent.calls[name])
        for name in [*dict.fromkeys(LABELS.values()), REST]
        if spent.calls[name]
    ]
    rows.append(_row("the program, its operations one by one", sum(best.values()) / 1e9, seconds, counted, peak))
    rows.append(_row("the meta-gradient", seconds, seconds, counted, peak, sum(spent.calls.values())))
    about = machine.describe("cpu", 1) | {"problem": kind.title, "matrix product": f"{peak / 1e9:.1f} GFLOP/s"}
    return rows, about


def _row(name: str, seconds: float, whole: float, work: int, peak: float, calls: int = 0) -> tables.Row:
    return {
        "part": name,
        "calls a task": f"{calls / TASKS:.0f}" if calls else "",
        "ms a task": f"{1000 * seconds / TASKS:.2f}",
        "share": f"{100 * seconds / whole:.1f} %",
        "GFLOP/s": f"{work / seconds / 1e9:.1f}" if work else "",
        "of the matrix product": f"{100 * work / seconds / peak:.0f} %" if work else "",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=list(problems.KINDS), default=list(problems.KINDS)[:4])
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    os.environ |= {"MEGAN_THREADS": "1", "MEGAN_CHUNK": str(TASKS)}
    torch.set_num_threads(1)
    report, lines = [], []
    for name in options.problems:
        rows, about = measure(problems.KINDS[name])
        title = about["problem"]
        print(f"\n{title}\n\n{tables.text(rows)}\n\n{tables.caption(about)}", end="", flush=True)
        report.append(f"**{title}**\n\n{tables.markdown(rows)}\n{tables.caption(about)}")
        lines += [row | about for row in rows]
    if options.dry:
        return 0
    keep("replay", "cpu", report, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
