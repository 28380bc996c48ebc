"""Milliseconds a meta-iteration, the memory it takes, and what tf32 changes; and evaluation."""

import time

import torch

from benchmarks.gpu.setting import Size, build, forget_memory, peak, sampler, system, wait
from benchmarks.measure import relative_error
from benchmarks.profile_iteration import timed
from benchmarks.tables import Row
from megan.data.episodes import TaskSet
from megan.meta import bounds
from megan.meta.evaluate import Evaluation
from megan.meta.parallel import Workers
from megan.ops import precision

TIMED = ("maml", "n_plus_1", "shared")


def iterations(device: str, size: Size) -> list[Row]:
    """Each kind, number of queries and of seeds, in float32 and in tf32."""
    return [
        _iteration(device, size, kind, queries, seeds)
        for kind in TIMED
        for queries in size.queries
        for seeds in size.seeds
    ]


def _iteration(device: str, size: Size, kind: str, queries: int, seeds: int) -> Row:
    row = {"kind": kind, "queries a class": str(queries), "seeds": str(seeds)}
    gradients = {}
    for numbers in ("float32", "tf32"):
        forget_memory(device)
        made = build(kind, size, device, queries, seeds, numbers)
        made.advance()
        gradients[numbers] = {name: value.double().cpu() for name, value in made.state.part("first").items()}
        row[f"{numbers}: ms"] = f"{1000 * timed(made.advance, device, size.seconds):.2f}"
        if numbers == "float32":
            row["peak MiB"] = peak(device)
        del made
    precision.use("float32")
    row["tf32 moves the gradient by"] = f"{relative_error(gradients['tf32'], gradients['float32']):.0e}"
    return row


def evaluation(device: str, size: Size) -> list[Row]:
    """A meta-test at the most queries, with scores after every inner step."""
    found, dtype, workers = [], precision.use("float32"), Workers(device=device, threads=1)
    seeds = torch.arange(max(size.seeds), device=device)
    for kind in TIMED:
        chosen = system(kind, size)
        tasks = TaskSet(sampler(chosen, device, dtype), seeds, "test", size.evaluated, max(size.queries))
        weights = chosen.initial_weights(seeds, dtype)
        forget_memory(device)
        wait(device)
        start = time.perf_counter()
        Evaluation(chosen, tasks, workers, every_step=True)(weights)
        spent = time.perf_counter() - start
        found.append(
            {
                "kind": kind,
                "tasks": str(size.evaluated * len(seeds)),
                "seconds": f"{spent:.1f}",
                "tasks/s": f"{size.evaluated * len(seeds) / spent:.0f}",
                "tasks of a seed at a time": str(min(size.evaluated, bounds.tasks_at_a_time(chosen, tasks))),
                "peak MiB": peak(device),
            }
        )
    return found
