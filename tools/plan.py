"""Prints the tables of docs/plan.md: `python -m tools.plan`. How long, and at what cost, do many seeds take?

It simulates the graph of `dvc.yaml` for several studies at once, with the rates of workflow/needs.py: a machine that
becomes free takes the waiting job with the longest way to the end. One submitting machine runs the short stages, and
records results one after the other.
"""

import argparse
import functools
import heapq
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

import needs

from megan.config import params as parameters
from megan.config.params import Params, Study
from megan.stages import registry

# Data sets, and the study whose settings and lengths are taken.
DATA_SETS = {"glyphs": "omniglot", "omniglot": "omniglot", "mini_imagenet": "mini_imagenet"}
VARIANTS, SEEDS = 20, 10
CORES = 16  # of a CPU node
GPU = 100  # cores that a GPU is taken to replace: an assumption, no GPU has been measured
PRICES = {"CPU node": 0.8, "GPU": 2.5}  # of an hour; assumptions, in the order of what clouds ask
MACHINES = (1, 8, 64)
SHORT = 120.0  # seconds of a stage on the submitting machine, as `samples` took in the record
RECORD = 5.0  # seconds of a commit to DVC
WAIT = 60.0  # seconds of a job besides its work: submitted, started and found to have ended


@dataclass
class Task:
    """One job or short stage. `seconds`: of work on one machine; `after`: names of those that it waits for."""

    name: str
    seconds: float
    on_machine: bool
    after: list[str]
    rank: float = 0.0  # seconds from its start to the end of all, if no machine were ever missing
    ends: float = 0.0


@dataclass
class Outcome:
    """What a simulation gives, in seconds."""

    total: float
    busy: float  # of all machines together
    path: list[str] = field(default_factory=list)  # the longest chain of tasks
    path_seconds: float = 0.0


def whole(kind: str, a_job_a_seed: bool = False) -> dict[str, Task]:
    """The graphs of all data sets, on one kind of machine."""
    cores = GPU if kind == "GPU" else CORES
    graphs = [graph(data_set, resized(data_set), cores, a_job_a_seed) for data_set in DATA_SETS]
    return {name: task for tasks in graphs for name, task in tasks.items()}


def graph(data_set: str, params: Params, cores: int, a_job_a_seed: bool) -> dict[str, Task]:
    """The stages of one study, with times on machines of so many cores."""
    tasks: dict[str, Task] = {}
    stages = {address: stage for address, stage in registry.stages(params).items() if stage.name != registry.CONFIG}
    made_by = {out: address for address, stage in stages.items() for out in stage.outputs}
    for address, stage in stages.items():
        after = [made_by[out] for out in made_by if any(_within(out, path) for path in stage.inputs)]
        after = [f"{data_set}:{one}" for one in dict.fromkeys(after) if one != address]
        name, computed = f"{data_set}:{address}", stage.name in needs.JOBS
        seconds = needs.core_seconds(params, stage) / cores if computed else SHORT
        if not (a_job_a_seed and stage.item):
            tasks[name] = Task(name, seconds + WAIT * computed, computed, after)
            continue
        seeds = params.tier(stage.item).seeds
        parts = [f"{name}/{seed}" for seed in seeds]
        for seed, part in zip(seeds, parts, strict=True):
            # A test of one seed reads the training of that seed.
            own = [f"{one}/{seed}" if f"{one}/{seed}" in tasks else one for one in after]
            tasks[part] = Task(part, seconds / len(seeds) + WAIT, True, own)
        tasks[name] = Task(name, 0.0, False, parts)
    return tasks


def _within(out: str, path: str) -> bool:
    return out == path or out.startswith(f"{path}/")


def rank(tasks: Mapping[str, Task]) -> list[str]:
    """Set the ranks. Returns the longest chain."""
    followers: dict[str, list[str]] = {name: [] for name in tasks}
    for task in tasks.values():
        for name in task.after:
            followers[name].append(task.name)
    for name in reversed(tasks):  # tasks are in the order in which data flows
        tasks[name].rank = tasks[name].seconds + max((tasks[one].rank for one in followers[name]), default=0.0)
    chain = [max(tasks, key=lambda name: tasks[name].rank)]
    while followers[chain[-1]]:
        chain.append(max(followers[chain[-1]], key=lambda name: tasks[name].rank))
    return chain


def simulate(tasks: Mapping[str, Task], machines: int) -> Outcome:
    """Run all tasks on so many machines and one submitting machine."""
    path = rank(tasks)
    missing = {name: len(task.after) for name, task in tasks.items()}
    followers: dict[str, list[str]] = {name: [] for name in tasks}
    for task in tasks.values():
        for name in task.after:
            followers[name].append(task.name)
    waiting: list[tuple[float, str]] = []  # for a machine
    events: list[tuple[float, str]] = []  # ends of work
    free, busy, submitting_free, now = machines, 0.0, 0.0, 0.0

    def ready(name: str) -> None:
        task = tasks[name]
        if task.on_machine:
            heapq.heappush(waiting, (-task.rank, name))
        else:
            heapq.heappush(events, (now + task.seconds, name))

    for name, count in missing.items():
        if not count:
            ready(name)
    while waiting or events:
        while free and waiting:
            _, name = heapq.heappop(waiting)
            free, busy = free - 1, busy + tasks[name].seconds
            heapq.heappush(events, (now + tasks[name].seconds, name))
        now, name = heapq.heappop(events)
        task = tasks[name]
        if task.on_machine and not task.ends:  # its machine is free; its result waits to be recorded
            free += 1
            submitting_free = max(now, submitting_free) + RECORD
            task.ends = submitting_free
            heapq.heappush(events, (task.ends, name))
            continue
        task.ends = now
        for one in followers[name]:
            missing[one] -= 1
            if not missing[one]:
                ready(one)
    return Outcome(max(task.ends for task in tasks.values()), busy, path, tasks[path[0]].rank)


@functools.cache
def resized(data_set: str) -> Params:
    """The study of a data set with the first `VARIANTS` variants and `SEEDS` seeds."""
    params = parameters.load(study=DATA_SETS[data_set])
    content = params.current.model_dump()
    content["data"]["dataset"] = data_set
    for tier in content["tiers"].values():
        tier["seeds"] = list(range(SEEDS))
    studies = {**params.studies, params.study: Study.model_validate(content)}
    variants = dict(list(params.of("paper").variants.items())[:VARIANTS])
    return params.model_copy(update={"variants": variants, "studies": studies})


def bottleneck(found: Outcome, machines: int) -> str:
    """What to have more of: machines, or shorter jobs."""
    if found.busy / machines > found.path_seconds:
        return "machines"
    return f"the chain of {max(found.path, key=lambda name: 'train' in name).partition('/')[0]}"


def rows(a_job_a_seed: bool = False) -> Iterator[str]:
    yield "| machines | time | machine hours | at work | cost | longest chain | bottleneck |"
    yield "|---|---|---|---|---|---|---|"
    for kind in PRICES:
        for machines in MACHINES:
            found = simulate(whole(kind, a_job_a_seed), machines)
            hours, work = found.total * machines / 3600, found.busy / (found.total * machines)
            yield (
                f"| {machines} x {kind} | {duration(found.total)} | {found.busy / 3600:,.0f} | {work:.0%} |"
                f" {found.busy / 3600 * PRICES[kind]:,.0f} ({hours * PRICES[kind]:,.0f} if held) |"
                f" {duration(found.path_seconds)} | {bottleneck(found, machines)} |"
            )


def chain(kind: str) -> Iterator[str]:
    """The longest chain of one kind of machine, link by link."""
    tasks = whole(kind)
    yield "| stage | time |"
    yield "|---|---|"
    for name in rank(tasks):
        yield f"| {name} | {duration(tasks[name].seconds)} |"


def duration(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:,.1f} days" if hours >= 48 else f"{hours:,.1f} h" if hours >= 1 else f"{seconds / 60:.0f} min"


def main() -> None:
    about = "Print the tables of docs/plan.md. What they assume are constants at the top of tools/plan.py."
    argparse.ArgumentParser(prog="python -m tools.plan", description=about).parse_args()
    os.chdir(Path(__file__).parents[1])  # where params.yaml is
    for table in (rows(), chain("CPU node"), rows(a_job_a_seed=True)):
        print("\n".join(table), end="\n\n")


if __name__ == "__main__":
    main()
