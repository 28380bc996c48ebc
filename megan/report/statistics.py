"""Confidence intervals of accuracies, and paired differences between two variants.

There are two kinds of intervals, which are never mixed. The interval over tasks says how
exactly the tasks measure these trained networks. The interval over seeds says whether other
seeds would agree; comparisons use it, as the seed is the unit of inference. All functions
return the half-width, for a result of the form "mean +/- half-width", or NaN if there are
too few data.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95
_UPPER = 0.5 + LEVEL / 2  # both tails together hold 1 - LEVEL


def task_interval(values: Sequence[float]) -> float:
    """Half-width of the normal interval of the mean over the tasks of one trained network.

    `z s / sqrt(n)`, with `s` the standard deviation over the n tasks (n - 1 degrees of
    freedom) and z = 1.96. Source: the convention of few-shot papers (Finn et al. 2017,
    tables 1 and 2: 95 % confidence intervals over tasks); the central limit theorem
    carries it, as n is in the hundreds.

    **Returns** NaN for fewer than two tasks.
    """
    return task_interval_within_seeds([values])


def task_interval_within_seeds(groups: Sequence[Sequence[float]]) -> float:
    """Half-width of the normal interval over tasks of a mean of several seeds' means.

    `z sqrt(sum_g s_g^2 / n_g) / k` for k seeds: the variance of a mean over strata
    (Cochran, Sampling Techniques, 3rd ed., theorem 5.3, with equal weights). The trained
    networks are held fixed, so this does not say how another seed would perform.

    `groups`: one sequence of task values a seed. **Returns** NaN when there is no seed or
    a seed has fewer than two tasks.
    """
    arrays = [np.asarray(group, dtype=float) for group in groups]
    if not arrays or any(array.size < 2 for array in arrays):
        return math.nan
    variance = sum(array.var(ddof=1) / array.size for array in arrays)
    return float(stats.norm.ppf(_UPPER) * math.sqrt(variance) / len(arrays))


def seed_interval(means: Sequence[float]) -> float:
    """Half-width of Student's t interval of the mean over seeds.

    `t s / sqrt(k)`, with `s` the standard deviation over the k per-seed means and t the
    97.5 % quantile with k - 1 degrees of freedom (Student 1908): 12.7 for two seeds, 2.8
    for five. It takes the per-seed means as draws of one normal distribution.

    **Returns** NaN for fewer than two seeds.
    """
    array = np.asarray(means, dtype=float)
    if array.size < 2:
        return math.nan
    return float(stats.t.ppf(_UPPER, array.size - 1) * array.std(ddof=1) / math.sqrt(array.size))


def over_alphabets(differences: Sequence[float]) -> tuple[int, float, float]:
    """Number of alphabets, mean, and half-width of Student's t interval, of one difference for each test alphabet.

    The interval says whether other alphabets would agree, where `seed_interval` asks it of other seeds. Each
    alphabet has the same weight, so the mean differs a little from that over tasks. NaN differences are left out.
    """
    known = [value for value in differences if not math.isnan(value)]
    return len(known), float(np.mean(known)) if known else math.nan, seed_interval(known)


@dataclass(frozen=True)
class PairedDifference:
    """Accuracy of `a` minus that of `b` (0 to 1), on the tasks that both were tested on."""

    difference: float
    """Mean over seeds of the per-seed mean differences; NaN when no task is shared."""
    ci95_seeds: float
    """Half-width over seeds: the paired t interval, the one for inference."""
    ci95_tasks_within_seeds: float
    """Half-width over paired tasks pooled within seeds, the trained networks held fixed."""
    seeds: int
    """Seeds with shared tasks."""
    tasks: int
    """Pairs of tasks used, over all seeds."""


def paired_difference(a: pd.DataFrame, b: pd.DataFrame) -> PairedDifference:
    """Compare two variants on the tasks that both were tested on.

    Both tables have the columns `seed`, `task`, `accuracy` (0 to 1), one row per seed and
    task; the same seed and task mean the same images. With `d_st` the difference on task t
    of seed s, the estimate is the mean over s of `d_s = mean_t d_st`. Its interval over
    seeds is the paired t interval (`seed_interval` of the `d_s`); the one over tasks is
    `task_interval_within_seeds` of the `d_st`.

    **Raises** `pandas.errors.MergeError` when a table holds a task of a seed twice.
    """
    columns = ["seed", "task", "accuracy"]
    pairs = a[columns].merge(b[columns], on=["seed", "task"], suffixes=("_a", "_b"), validate="one_to_one")
    pairs = pairs.assign(difference=pairs["accuracy_a"] - pairs["accuracy_b"])
    groups = [group.to_numpy() for _, group in pairs.groupby("seed", sort=True)["difference"]]
    means = [float(group.mean()) for group in groups]
    return PairedDifference(
        difference=float(np.mean(means)) if means else math.nan,
        ci95_seeds=seed_interval(means),
        ci95_tasks_within_seeds=task_interval_within_seeds(groups),
        seeds=len(groups),
        tasks=len(pairs),
    )
