"""Profile of one meta-iteration, compared with the machine's matrix products.

    python -m benchmarks.profile_iteration             # under a minute on two cores
    python -m benchmarks.profile_iteration --variant n_plus_1 --queries 15

On a CPU one thread is profiled (a second does the same on other chunks). The engine's
primitives are labelled, torch.profiler records them and every other operation, and each
operation's time goes to the innermost label around it, or to a category by its name; what
is left of the wall time is Python and autograd. On CUDA the kernels' time on the device is
divided the same way, without graph capture, and the captured graph is timed too.
Writes `profile.csv` and `profile.md` under `benchmarks/results/<device>/`, and the table
into docs/profile.md.
"""

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks import flops, machine, tables
from benchmarks.scaling import WAYS, Point, random_split
from megan.config import machine as settings
from megan.data.episodes import Sampler
from megan.data.packed import Split
from megan.meta import capture, iteration, optimise
from megan.meta.parallel import Workers
from megan.ops import kernels, native, native_pooling, normalisation

DOCUMENT = Path("docs/profile.md")
CONVOLUTIONS = {"conv": "convolution", "conv_data_grad": "data gradient", "conv_weight_grad": "weight gradient"}
LABELLED = [  # module, function, label
    *((kernels, name, label) for name, label in CONVOLUTIONS.items()),
    *((native, name, "batch norm") for name in ("norm_relu", "norm_relu_grad", "norm_relu_grad_grad")),
    *(
        (native_pooling, name, "batch norm")
        for name in ("norm_relu_pool", "norm_relu_pool_grad", "norm_relu_pool_grad_grad")
    ),
    *((normalisation, name, "batch norm") for name in ("_statistics", "_value", "_first", "_second")),
    (Sampler, "sample", "sampling"),
    (optimise, "adam", "Adam"),
    (optimise, "finite", "Adam"),
]
CATEGORIES = {  # by the start of an operation's name, for what stands under no label
    "heads": ("aten::bmm", "aten::baddbmm", "aten::mm", "aten::addmm", "aten::matmul"),
    "copies": (
        "aten::copy_",
        "aten::cat",
        "aten::clone",
        "aten::contiguous",
        "aten::_to_copy",
        "aten::index",
        "aten::select",
        "aten::empty",
        "aten::zero",
        "aten::new_",
        "aten::resize",
        "aten::fill_",
    ),
}
ROWS = [*CONVOLUTIONS.values(), "batch norm", "heads", "elementwise and reductions", "copies", "sampling", "Adam"]
MINIMUM = 5  # repetitions of a timing


class Counted:
    """The convolutions' FLOPs by label, counted as they are called."""

    def __init__(self) -> None:
        self.flops: Counter[str] = Counter()

    def add(self, name: str, arguments: tuple, result: torch.Tensor) -> None:
        if name == "conv":  # x, w -> z
            x, z = arguments[0], result
        elif name == "conv_data_grad":  # dz, w -> dx
            x, z = result, arguments[0]
        else:  # x, dz -> dw
            x, z = arguments[0], arguments[1]
        tasks, images, height, width, outputs = z.shape
        self.flops[CONVOLUTIONS[name]] += 2 * 9 * x.shape[-1] * outputs * height * width * images * tasks


@contextmanager
def labelled(counted: Counted):
    """Every function of LABELLED inside a `record_function` of its label."""

    def wrap(function: Callable, name: str, label: str) -> Callable:
        def inner(*arguments: Any, **named: Any) -> Any:
            with record_function(f"## {label}"):
                result = function(*arguments, **named)
            if label in CONVOLUTIONS.values():
                counted.add(name, arguments, result)
            return result

        return inner

    with ExitStack() as stack:
        for module, name, label in LABELLED:
            stack.enter_context(patch.object(module, name, wrap(getattr(module, name), name, label)))
        yield


def shares(events: list[FunctionEvent], cuda: bool) -> Counter[str]:
    """Microseconds by label or category: each operation's own time, without those inside it."""
    found: Counter[str] = Counter()
    for event in events:
        spent = event.self_device_time_total if cuda else event.self_cpu_time_total
        label, above = None, event
        while above is not None and label is None:
            label, above = (above.name[3:] if above.name.startswith("## ") else None), above.cpu_parent
        if label is None and event.name.startswith("aten::"):
            label = next(
                (c for c, starts in CATEGORIES.items() if event.name.startswith(starts)), "elementwise and reductions"
            )
        if label is not None:
            found[label] += spent
    return found


def matrix_product(device: str) -> float:
    """FLOP/s of the best of some large float32 matrix products, on one thread of a CPU."""
    best = 0.0
    for size in (512, 1024) if device == "cpu" else (4096, 8192):
        a, b = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
        for _ in range(MINIMUM):
            _wait(device)
            start = time.perf_counter()
            torch.mm(a, b)
            _wait(device)
            best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def timed(advance: Callable[[], None], device: str, seconds: float = 3) -> float:
    """The median wall time of one meta-iteration."""
    found: list[float] = []
    end = time.monotonic() + seconds
    while len(found) < MINIMUM or time.monotonic() < end:
        _wait(device)
        start = time.perf_counter()
        advance()
        _wait(device)
        found.append(time.perf_counter() - start)
    return sorted(found)[len(found) // 2]


def measure(point: Point, split: Split, device: str) -> tuple[list[tables.Row], dict[str, str]]:
    cuda = device != "cpu"
    workers = Workers(device=device, threads=1)
    peak = matrix_product(device)
    captured = timed(point.build(split, workers), device)
    with (
        patch.object(capture, "captured", lambda advance, state: advance),
        patch.object(iteration, "LONG_TRAINING", math.inf),
    ):
        advance = point.build(split, workers)  # without capture or replay: their kernels carry no labels
        advance()
        counted, activities = Counted(), [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
        with labelled(counted), profile(activities=activities, acc_events=True) as profiler:
            _wait(device)
            start = time.perf_counter()
            advance()
            _wait(device)
            profiled = time.perf_counter() - start
    peak = max(peak, matrix_product(device))
    expected = flops.maml(point.tasks, WAYS, WAYS * point.queries, 5)
    total_flops = sum(counted.flops.values())
    if point.approach == "maml" and total_flops != expected:
        raise AssertionError(
            f"{total_flops} FLOPs counted, {expected} expected: the engine does more or less than it should"
        )
    found = shares(profiler.events(), cuda)
    whole = sum(found.values()) / 1e6 if cuda else profiled
    rows = []
    for name in ROWS:
        seconds = found[name] / 1e6
        rate = counted.flops[name] / seconds if seconds and name in counted.flops else 0
        rows.append(_row(name, seconds, whole, counted.flops[name], rate, peak))
    if not cuda:
        rows.append(_row("Python and autograd", profiled - sum(found.values()) / 1e6, whole, 0, 0, peak))
    rows.append(_row("whole, profiled", whole, whole, total_flops, total_flops / whole, peak))
    rows.append(
        _row(
            "whole, not profiled" if not cuda else "whole, captured graph",
            captured,
            whole,
            total_flops,
            total_flops / captured,
            peak,
        )
    )
    about = machine.describe(device, 1) | {
        "variant": point.approach,
        "queries a class": str(point.queries),
        "meta-batch": "32",
        "matrix product": f"{peak / 1e9:.1f} GFLOP/s",
    }
    return rows, about


def _row(name: str, seconds: float, whole: float, work: int, rate: float, peak: float) -> tables.Row:
    return {
        "part": name,
        "ms": f"{1000 * seconds:.1f}" if whole > 0.05 else f"{1000 * seconds:.3f}",
        "share": f"{100 * seconds / whole:.1f} %",
        "GFLOP": f"{work / 1e9:.2f}" if work else "",
        "GFLOP/s": f"{rate / 1e9:.1f}" if rate else "",
        "of the matrix product": f"{100 * rate / peak:.0f} %" if rate else "",
    }


def keep(name: str, device: str, report: list[str], lines: list[tables.Row]) -> None:
    """Write `name`.csv and `name`.md under the device's results, and the tables into docs/profile.md."""
    folder = machine.folder(device)
    tables.write_csv(folder / f"{name}.csv", lines)
    (folder / f"{name}.md").write_text("\n".join(report), encoding="utf-8")
    tables.insert(DOCUMENT, f"{name} {device.partition(':')[0]}", "\n".join(report))
    print(f"written: {folder}/{name}.csv, {name}.md")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", nargs="+", choices=["maml", "n_plus_1"], default=["maml", "n_plus_1"])
    parser.add_argument("--queries", nargs="+", type=int, default=[1, 15], help="a class")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    device = settings.device()
    split = random_split(device)
    report, lines = [], []
    for approach in options.variant:
        for queries in options.queries:
            rows, about = measure(Point("meta_batch", 32, approach, queries), split, device)
            title = f"{approach}, {queries} quer{'y' if queries == 1 else 'ies'} a class"
            print(f"\n{title}\n\n{tables.text(rows)}\n\n{tables.caption(about)}", end="", flush=True)
            report.append(f"**{title}**\n\n{tables.markdown(rows)}\n{tables.caption(about)}")
            lines += [row | about for row in rows]
    if options.dry:
        return 0
    keep("profile", device, report, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
