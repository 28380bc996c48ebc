"""The paired difference of two sides: on the same tasks, seed by seed."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from megan.compare.side import Side
from megan.errors import MeganError
from megan.report import statistics

PREPARED = "data/prepared/"
TASKS = {"ways": "tasks.ways", "shots": "tasks.shots", "scope": "tasks.scope", "test_queries": "tasks.test_queries"}
SAMPLER = ("megan/data/episodes.py", "megan/data/packed.py", "megan/ops/streams.py")  # which draws the tasks


class TasksError(MeganError):
    """The two sides were not tested on the same tasks. The message names the first thing that differs."""


@dataclass(frozen=True)
class Comparison:
    """Side `a` minus side `b`.

    `seeds`: one row for each common seed, with seed, tasks (common ones), a and b (accuracies, 0 to 1), difference,
    and ci95_tasks, the half-width over its tasks, NaN where only means are known. `overall`: the mean over seeds with
    its intervals. `p`: of the two-sided paired t test over seeds, NaN for one seed.
    """

    a: Side
    b: Side
    seeds: pd.DataFrame
    overall: statistics.PairedDifference
    p: float
    notes: list[str]


def compare(a: Side, b: Side) -> Comparison:
    """Compare on common seeds and tasks. Raises `TasksError` if the tasks are not the same, or none is common."""
    _check(a, b)
    if a.tasks is None or b.tasks is None:
        seeds = _of_means(a, b)
        difference = statistics.PairedDifference(
            difference=float(seeds["difference"].mean()),
            ci95_seeds=statistics.seed_interval(seeds["difference"]),
            ci95_tasks_within_seeds=math.nan,
            seeds=len(seeds),
            tasks=int(seeds["tasks"].sum()),
        )
    else:
        seeds, difference = _of_tasks(a.tasks, b.tasks), statistics.paired_difference(a.tasks, b.tasks)
    if seeds.empty:
        raise TasksError(
            f"{a.name} and {b.name} have no seed in common: {_listed(a)} and {_listed(b)}; test both with the same"
            " seeds (`seeds` of their tiers)"
        )
    return Comparison(a, b, seeds, difference, p_value(seeds["difference"].tolist()), _notes(a, b, len(seeds)))


def p_value(differences: list[float]) -> float:
    """Two-sided p value of Student's paired t test: t = mean sqrt(k) / s, with k - 1 degrees of freedom (1908).

    It belongs to the interval of `statistics.seed_interval`: p < 0.05 where that excludes 0.
    **Returns** NaN for fewer than two seeds, 1 if all differences are 0.
    """
    k = len(differences)
    if k < 2:
        return math.nan
    mean, s = float(np.mean(differences)), float(np.std(differences, ddof=1))
    if s == 0:
        return float(mean == 0)
    return float(2 * stats.t.sf(abs(mean) * math.sqrt(k) / s, k - 1))


def _of_tasks(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    pairs = a.merge(b, on=["seed", "task"], suffixes=("_a", "_b"), validate="one_to_one")
    pairs = pairs.assign(difference=pairs["accuracy_a"] - pairs["accuracy_b"])
    rows = [
        (seed, len(own), own["accuracy_a"].mean(), own["accuracy_b"].mean(), own["difference"].mean(),
         statistics.task_interval(own["difference"]))
        for seed, own in pairs.groupby("seed", sort=True)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["seed", "tasks", "a", "b", "difference", "ci95_tasks"])


def _of_means(a: Side, b: Side) -> pd.DataFrame:
    """From the means of each seed, which are paired only if they are over the same tasks."""
    pairs = a.seeds.merge(b.seeds, on="seed", suffixes=("_a", "_b"), validate="one_to_one").sort_values("seed")
    other = pairs[pairs["tasks_a"] != pairs["tasks_b"]]
    if not other.empty:
        first = other.iloc[0]
        raise TasksError(
            f"{a.name} and {b.name} were tested on {first['tasks_a']:.0f} and {first['tasks_b']:.0f} tasks of seed"
            f" {first['seed']:.0f}, and a record keeps only their means; test both on as many (`test_tasks`)"
        )
    return pd.DataFrame(
        {
            "seed": pairs["seed"],
            "tasks": pairs["tasks_a"],
            "a": pairs["accuracy_a"],
            "b": pairs["accuracy_b"],
            "difference": pairs["accuracy_a"] - pairs["accuracy_b"],
            "ci95_tasks": math.nan,
        }
    ).reset_index(drop=True)


def _check(a: Side, b: Side) -> None:
    """The same seed and number mean the same images only if data and form of the tasks are the same."""
    for key, parameter in TASKS.items():
        first, second = (side.made["parameters"]["tasks"].get(key) for side in (a, b))
        if first != second:
            raise _differ(a, b, f"{parameter} = {first!r} and {second!r}")
    first, second = _data(a.made), _data(b.made)
    if first is None or first != second:
        raise _differ(a, b, "their records name other images (data/prepared)")
    if a.tasks is None or b.tasks is None or "alphabet" not in a.tasks or "alphabet" not in b.tasks:
        return
    pairs = a.tasks.merge(b.tasks, on=["seed", "task"])
    other = pairs[pairs["alphabet_x"].fillna("") != pairs["alphabet_y"].fillna("")]
    if not other.empty:
        row = other.iloc[0]
        what = f"task {row['task']} of seed {row['seed']} is of {row['alphabet_x']!r} and of {row['alphabet_y']!r}"
        raise _differ(a, b, what)


def _differ(a: Side, b: Side, what: str) -> TasksError:
    return TasksError(
        f"{a.name} and {b.name} were not tested on the same tasks: {what}; compare variants with equal data, ways,"
        " shots, scope and test_queries"
    )


def _data(made: dict[str, Any]) -> str | None:
    """The digest of the images that were tested on. Records of older versions have it under `data`."""
    inputs = made.get("inputs", {})
    prepared = [digest for path, digest in inputs.items() if path.startswith(PREPARED)]
    return prepared[0] if prepared else made.get("data", {}).get("test")


def _notes(a: Side, b: Side, common: int) -> list[str]:
    """What a reader must know before trusting the difference."""
    notes = []
    first, second = a.made["meta_steps"], b.made["meta_steps"]
    if first != second:
        notes.append(f"not of equal length: {a.name} trained for {first:,} meta-steps, {b.name} for {second:,}")
    for side in (a, b):
        if lost := side.made.get("diverged"):
            notes.append(f"left out, because {side.name} diverged: seed {', '.join(sorted(lost, key=int))}")
        if common < len(side.seeds):
            notes.append(f"{side.name} was tested with {len(side.seeds)} seeds, {common} of them in common")
    if common == 1:
        notes.append("one seed has no interval over seeds and no p value: another seed may well disagree")
    codes = [side.made.get("code", {}) for side in (a, b)]
    changed = [name for name in SAMPLER if codes[0].get(name) != codes[1].get(name)]
    if changed:
        notes.append(f"made with different versions of the task sampler ({', '.join(changed)})")
    return notes


def _listed(side: Side) -> str:
    seeds = side.seeds["seed"].tolist()
    return f"{side.name} has {', '.join(map(str, seeds)) or 'none'}"
