"""How the cost of one meta-iteration grows: with the meta-batch, inner steps, shots, seeds and fakes.

    python -m benchmarks.scaling            # about four minutes on two cores
    python -m benchmarks.scaling --quick    # the ends of each axis, a few seconds an axis

The whole meta-iteration of `megan.meta.iteration` is timed (sampling, inner loop, outer
gradient, Adam), on CUDA as the captured graph. Each axis changes one value of a common point: 5-way
1-shot, five inner steps, meta-batch 32, one seed. Images are random: the cost does not
depend on them. Writes `scaling.csv`, `scaling.md` and `scaling.png` under
`benchmarks/results/<device>/`, and the table into docs/benchmarks.md.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks import machine, scaling_plot, tables
from megan.config import machine as settings
from megan.config import params
from megan.data.episodes import Sampler
from megan.data.packed import Split
from megan.meta import iteration, systems
from megan.meta.parallel import Workers
from megan.models import sizes

DOCUMENT = Path("docs/benchmarks.md")
WAYS = 5
AXES = {  # axis -> approach, values, those of --quick
    "meta_batch": ("maml", (4, 8, 16, 32, 64, 128, 256), (4, 32)),
    "steps": ("maml", (1, 2, 3, 5, 10), (1, 5)),
    "shots": ("maml", (1, 2, 5, 10), (1, 5)),
    "seeds": ("maml", (1, 2, 4, 8, 16), (1, 4)),
    "fake_steps": ("n_plus_1", (0, 1, 2, 3, 5), (0, 5)),
    "fakes_per_real": ("n_plus_1", (1, 2, 4), (1, 4)),
}
WARM_UPS = 2
CUDA_ITERATIONS = 50  # a turn, between two events


@dataclass
class Point:
    """One setting of everything an axis may vary, and the seconds of its meta-iterations."""

    axis: str
    value: int
    approach: str
    queries: int
    seconds: list[float] = field(default_factory=list)
    memory: float | None = None  # MiB, on CUDA

    def setting(self, axis: str, otherwise: int) -> int:
        return self.value if self.axis == axis else otherwise

    @property
    def tasks(self) -> int:
        return self.setting("meta_batch", 32) * self.setting("seeds", 1)

    @property
    def milliseconds(self) -> float:
        return 1000 * statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        return 1000 * self.tasks / self.milliseconds

    def build(self, split: Split, workers: Workers) -> Callable[[], None]:
        """A function that does one meta-iteration."""
        document = params.load()
        base = document.current
        variant = document.variant(self.approach)
        changed = {axis: self.value for axis in ("fake_steps", "fakes_per_real") if axis == self.axis}
        study = base.model_copy(
            update={
                "inner": base.inner.model_copy(update={"steps": self.setting("steps", 5), "learning_rate": 0.4}),
                "train": base.train.model_copy(update={"meta_batch": self.setting("meta_batch", 32)}),
                "tasks": base.tasks.model_copy(
                    update={
                        "ways": WAYS,
                        "shots": self.setting("shots", 1),
                        "train_queries": self.queries,
                        "scope": "any",
                    }
                ),
            }
        )
        system = systems.build(variant.model_copy(update=changed), study.inner, WAYS, sizes.of(study))
        seeds = torch.arange(self.setting("seeds", 1), device=workers.device)
        state = iteration.State.fresh(system, seeds, torch.float32)
        sampler = Sampler(split, WAYS, study.tasks.shots, study.tasks.scope, system.others)
        loop = iteration.OuterLoop(study.train, study.tasks.train_queries, 1000)
        return iteration.iteration(system, sampler, seeds, loop, state, workers)


def random_split(device: str) -> Split:
    images = torch.randint(256, (100, 20, 28, 28, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    number = torch.zeros(1, dtype=torch.int64, device=device)
    return Split(
        images=images.to(device),
        alphabet=torch.zeros(len(images), dtype=torch.int64, device=device),
        first=number,
        size=number + len(images),
        alphabet_names=("random",),
        class_names=tuple(map(str, range(len(images)))),
        largest=len(images),
    )


def on_cpu(points: list[Point], split: Split, workers: Workers, minutes: float) -> None:
    """Rounds of one meta-iteration of each point, until the time is up; at least two."""
    # Each point has its own processes: shared ones would have to be forked again at every change of work.
    advance = {id(point): point.build(split, Workers(workers.device, workers.threads)) for point in points}
    for point in points:
        for _ in range(WARM_UPS if point.tasks <= 32 else 1):
            advance[id(point)]()
    end = time.monotonic() + 60 * minutes
    rounds = 0
    while rounds < 2 or time.monotonic() < end:
        started = time.monotonic()
        for point in points:
            start = time.perf_counter()
            advance[id(point)]()
            point.seconds.append(time.perf_counter() - start)
        rounds += 1
        if rounds >= 2 and time.monotonic() + (time.monotonic() - started) > end:
            break


def on_cuda(points: list[Point], split: Split, workers: Workers) -> None:
    """One captured graph at a time, since each keeps its memory."""
    for point in points:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        advance = point.build(split, workers)
        for _ in range(3):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            for _ in range(CUDA_ITERATIONS):
                advance()
            end.record()
            end.synchronize()
            point.seconds.append(begin.elapsed_time(end) / 1000 / CUDA_ITERATIONS)
        point.memory = torch.cuda.max_memory_reserved() / 2**20  # what a graph keeps is reserved, not allocated
        del advance


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--axes", nargs="+", choices=list(AXES), default=list(AXES), metavar="AXIS", help=", ".join(AXES)
    )
    parser.add_argument("--queries", type=int, default=1, help="a class")
    parser.add_argument("--minutes", type=float, default=3, help="on a CPU, after warming up")
    parser.add_argument("--quick", action="store_true", help="the ends of each axis; nothing written")
    options = parser.parse_args()
    workers = Workers(device=settings.device())
    about = machine.describe(workers.device, workers.threads) | {"queries a class": str(options.queries)}
    split = random_split(workers.device)
    points = []
    for axis in options.axes:
        approach, values, few = AXES[axis]
        points += [Point(axis, value, approach, options.queries) for value in (few if options.quick else values)]
    if workers.is_cpu:
        on_cpu(points, split, workers, 0.2 if options.quick else options.minutes)
    else:
        on_cuda(points, split, workers)
    about["rounds"] = str(len(points[0].seconds))
    rows = [_row(point, points) for point in points]
    print(tables.text(rows) + "\n\n" + tables.caption(about), end="")
    if options.quick:
        return 0
    folder = machine.folder(workers.device)
    report = tables.markdown(rows) + "\n" + tables.caption(about)
    tables.write_csv(folder / "scaling.csv", [row | about for row in rows])
    (folder / "scaling.md").write_text(report, encoding="utf-8")
    scaling_plot.draw(points, folder / "scaling.png")
    tables.insert(DOCUMENT, f"scaling {workers.device.partition(':')[0]}", report)
    print(f"written: {folder}/scaling.csv, scaling.md, scaling.png")
    return 0


def _row(point: Point, points: list[Point]) -> tables.Row:
    first = next(other for other in points if other.axis == point.axis)
    row = {
        "axis": point.axis,
        "value": str(point.value),
        "approach": point.approach,
        "ms a meta-iteration": f"{point.milliseconds:.2f}",
        "times the first": f"{point.milliseconds / first.milliseconds:.2f}",
        "tasks/s": f"{point.rate:.1f}",
    }
    return row | ({"peak MiB": f"{point.memory:.0f}"} if point.memory is not None else {})


if __name__ == "__main__":
    sys.exit(main())
