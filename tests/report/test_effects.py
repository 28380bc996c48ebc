"""The tests of an effect, and of claims with several parts."""

import math

import numpy as np
import pytest
from scipy import stats

from megan.report.claims.effects import AllOf, AnyOf, Part, decisive, holm


def test_one_part_errs_as_often_as_its_level():
    rng = np.random.default_rng(0)
    draws = [Part("", "", tuple(rng.standard_normal(5)), margin=0.5) for _ in range(4000)]
    edge = [Part("", "", tuple(0.5 + rng.standard_normal(5)), margin=0.5) for _ in range(4000)]
    for level in (0.05, 0.01):
        share = 4 * math.sqrt(level / 4000)
        assert np.mean([part.p < level for part in draws]) == pytest.approx(level, abs=share)
        assert np.mean([part.p_opposite < level for part in draws]) == pytest.approx(level, abs=share)
        assert np.mean([part.p_equal < level for part in edge]) <= level + share


def test_tests_by_hand():
    # Values 1, 2, 3: mean 2, standard deviation 1, t = 2 sqrt(3) with 2 degrees of freedom.
    part = Part("", "", (1.0, 2.0, 3.0), margin=5.0)
    t = 2 * math.sqrt(3)
    assert part.p == pytest.approx(0.5 * (1 - t / math.sqrt(2 + t * t)))  # closed form of t with 2 degrees
    assert part.p_opposite == pytest.approx(1 - part.p)
    below = 3 * math.sqrt(3)  # of 5, the nearer margin
    assert part.p_equal == pytest.approx(0.5 * (1 - below / math.sqrt(2 + below * below)))
    assert part.interval == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))


def test_two_groups_as_scipy_has_them():
    rng = np.random.default_rng(0)
    first, second = tuple(1 + rng.standard_normal(7)), tuple(3 * rng.standard_normal(12))
    part, expected = Part("", "", first, 0.2, others=second), stats.ttest_ind(first, second, equal_var=False)
    assert min(part.p, part.p_opposite) == pytest.approx(expected.pvalue / 2)
    assert part.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    moved = stats.ttest_ind(np.array(first) + 0.2, second, equal_var=False, alternative="greater").pvalue
    nearer = stats.ttest_ind(np.array(first) - 0.2, second, equal_var=False, alternative="less").pvalue
    assert part.p_equal == pytest.approx(max(moved, nearer))


def test_smallest_detectable_effect_has_its_power():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(6)
    values = (values - values.mean()) / values.std(ddof=1)
    effect = Part("", "", tuple(values), margin=0.1).detectable(0.05, 0.8)
    found = [Part("", "", tuple(effect + rng.standard_normal(6)), margin=0.1).p < 0.05 for _ in range(4000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_parts_that_must_all_hold():
    strong, weak = Part("", "", (1.0, 1.1, 0.9, 1.05), 0.5), Part("", "", (0.1, -0.1, 0.2, -0.1), 0.5)
    both, either = AllOf((strong, weak)), AnyOf((strong, weak))
    assert both.p == weak.p and either.p == pytest.approx(2 * strong.p)
    assert both.p_opposite == pytest.approx(min(1, 2 * weak.p_opposite)) and either.p_opposite == strong.p_opposite
    assert both.p_equal == pytest.approx(2 * weak.p_equal) and either.p_equal == strong.p_equal
    assert [decisive(both, which) for which in ("p", "p_opposite", "p_equal")] == [weak] * 3
    assert [decisive(either, which) for which in ("p", "p_opposite", "p_equal")] == [strong] * 3


def test_without_spread_only_the_signs_speak():
    assert Part("", "", (0.1,) * 5, margin=0.05).p == 0.5**5
    assert Part("", "", (0.0,) * 5, margin=0.05).p == Part("", "", (0.0,) * 5, margin=0.05).p_opposite == 1
    assert Part("", "", (0.0,) * 5, margin=0.05).p_equal == 0.5**5


def test_a_threshold_that_is_not_zero_has_no_equality():
    assert Part("", "", (0.0, 0.001, -0.001), margin=0.5, threshold=-0.02).p_equal == 1


def test_holm_by_hand():
    # Of four: 0.01 x 4, then 0.02 x 3, 0.03 x 2, 0.5 x 1; the third may not fall below the second.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.01, math.nan]) == pytest.approx([0.02, 1.0])
    assert holm([]) == []
