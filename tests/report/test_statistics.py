"""Intervals against numbers worked out by hand, and their promise against simulation."""

import math

import numpy as np
import pandas as pd
import pytest

from megan.report.statistics import (
    over_alphabets,
    paired_difference,
    seed_interval,
    task_interval,
    task_interval_within_seeds,
)


def test_task_interval_by_hand():
    # s^2 = 100 * 0.25 / 99, so 1.959964 * sqrt(25 / 99) / 10.
    assert task_interval([0.0, 1.0] * 50) == pytest.approx(0.0984919, abs=1e-7)


def test_within_seeds_by_hand():
    # Variances of the two means: 0.5 / 2 and 0; 1.959964 * sqrt(0.25) / 2.
    assert task_interval_within_seeds([[0.0, 1.0], [0.3, 0.3]]) == pytest.approx(0.489991, abs=1e-6)


def test_within_seeds_ignores_what_differs_between_seeds():
    assert task_interval_within_seeds([[0.1, 0.2], [0.8, 0.9]]) == pytest.approx(
        task_interval_within_seeds([[0.1, 0.2], [0.1, 0.2]])
    )


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([0.90, 0.92], 0.1270620),  # t = 12.70620, s / sqrt(2) = 0.01
        ([1.0, 2.0, 3.0], 2.4841377),  # t = 4.302653, s = 1
        ([0.5] * 5, 0.0),
    ],
)
def test_seed_interval_by_hand(means, expected):
    assert seed_interval(means) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("interval", [task_interval, seed_interval])
@pytest.mark.parametrize("values", [[], [0.5]])
def test_too_little_data_has_no_interval(interval, values):
    assert math.isnan(interval(values))


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(0)
    draws = rng.normal(0.9, 0.02, size=(4000, 3))
    covered = np.mean([abs(means.mean() - 0.9) <= seed_interval(means) for means in draws])
    assert covered == pytest.approx(0.95, abs=0.012)
    correct = rng.binomial(75, 0.9, size=(2000, 200)) / 75
    covered = np.mean([abs(values.mean() - 0.9) <= task_interval(values) for values in correct])
    assert covered == pytest.approx(0.95, abs=0.015)


def _table(rows):
    return pd.DataFrame(rows, columns=["seed", "task", "accuracy"])


def test_pairs_are_the_common_tasks():
    a = _table([(0, 0, 0.9), (0, 1, 0.7), (0, 2, 0.0), (1, 0, 0.8), (1, 1, 0.6), (2, 0, 1.0)])
    b = _table([(0, 1, 0.6), (0, 0, 0.6), (1, 1, 0.5), (1, 0, 0.5), (1, 9, 1.0), (3, 0, 1.0)])
    paired = paired_difference(a, b)
    # Seed 0: 0.3 and 0.1, seed 1: 0.3 and 0.1; task 2 of seed 0 and the seeds 2 and 3 have no partner.
    assert (paired.seeds, paired.tasks) == (2, 4)
    assert paired.difference == pytest.approx(0.2)
    assert paired.ci95_seeds == pytest.approx(0, abs=1e-12)
    # Each seed: s^2 / n = 0.02 / 2; 1.959964 * sqrt(0.02) / 2.
    assert paired.ci95_tasks_within_seeds == pytest.approx(0.1385904, abs=1e-6)


def test_each_seed_weighs_the_same():
    a = _table([(0, task, 0.5) for task in range(10)] + [(1, 0, 0.9), (1, 1, 0.9)])
    b = _table([(0, task, 0.5) for task in range(10)] + [(1, 0, 0.7), (1, 1, 0.7)])
    paired = paired_difference(a, b)
    assert paired.difference == pytest.approx(0.1)
    assert paired.ci95_seeds == pytest.approx(1.270620, abs=1e-5)  # 12.70620 * 0.1


def test_pairing_removes_what_the_tasks_share():
    rng = np.random.default_rng(1)
    hard = rng.uniform(0, 1, 500)
    a = _table([(0, task, value) for task, value in enumerate(hard)])
    b = _table([(0, task, value - 0.01) for task, value in enumerate(hard)])
    paired = paired_difference(a, b)
    assert paired.difference == pytest.approx(0.01)
    assert paired.ci95_tasks_within_seeds < 1e-9 < task_interval(hard)
    assert math.isnan(paired.ci95_seeds)


def test_nothing_in_common():
    paired = paired_difference(_table([(0, 0, 0.9)]), _table([(1, 0, 0.9)]))
    assert (paired.seeds, paired.tasks) == (0, 0)
    assert (
        math.isnan(paired.difference) and math.isnan(paired.ci95_seeds) and math.isnan(paired.ci95_tasks_within_seeds)
    )


def test_a_task_given_twice_is_refused():
    with pytest.raises(pd.errors.MergeError):
        paired_difference(_table([(0, 0, 0.9), (0, 0, 0.8)]), _table([(0, 0, 0.9)]))


def test_the_interval_over_alphabets_gives_each_the_same_weight():
    count, mean, half = over_alphabets([0.01, 0.02, 0.03, math.nan])
    assert (count, mean) == (3, pytest.approx(0.02))
    assert half == pytest.approx(4.302653 * 0.01 / math.sqrt(3), rel=1e-5)  # t with 2 degrees of freedom
    assert over_alphabets([])[0] == 0 and math.isnan(over_alphabets([])[1])
