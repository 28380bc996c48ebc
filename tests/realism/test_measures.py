"""The measures of realism and diversity: against plain loops, and on cases with a known answer."""

import numpy as np
import pytest

from megan.realism import measures


def normal(*shape, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, shape)


def k(x, y):
    return (float(x @ y) / len(x) + 1) ** 3


def naive(real, fake):
    """Binkowski et al. 2018, equation 4, pair by pair."""
    n, m = len(real), len(fake)
    within = [
        sum(k(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j) / (len(a) * (len(a) - 1))
        for a in (real, fake)
    ]
    return sum(within) - 2 * sum(k(x, y) for x in real for y in fake) / (n * m)


def naive_groups(real, fake):
    """The mean over pairs of different groups, and over pairs of their images."""
    groups = range(len(real))

    def mean(a, b):
        return np.mean([k(x, y) for x in a for y in b])

    pairs = [(g, h) for g in groups for h in groups if g != h]
    return np.mean(
        [
            mean(real[g], real[h]) + mean(fake[g], fake[h]) - mean(real[g], fake[h]) - mean(real[h], fake[g])
            for g, h in pairs
        ]
    )


def test_kid_is_the_double_loop():
    real, fake = normal(9, 5), normal(7, 5, seed=1, shift=0.5)
    size = np.sqrt((real**2).mean())
    assert measures.kid(real, fake, 0).estimate == pytest.approx(naive(real / size, fake / size), rel=1e-12)


def test_kid_of_groups_is_the_double_loop(monkeypatch):
    monkeypatch.setattr(measures, "_BLOCK", 8)  # several blocks, the last of them smaller
    real, fake = normal(5, 4, 3), normal(5, 2, 3, seed=1, shift=0.5)
    pairs = measures.group_pairs(real, fake)
    assert measures.mean_of_groups(pairs) == pytest.approx(naive_groups(real, fake), rel=1e-12)
    assert measures.kid_of_groups(pairs, 3).estimate == measures.mean_of_groups(pairs)
    known = measures.group_pairs(real, fake, measures.group_kernels(real, real))
    assert np.array_equal(known, pairs)


def test_resampling_is_what_it_says():
    """The interval's ends are quantiles of the same estimate on members drawn with replacement.

    Pairs of a member with itself are left out.
    """
    real, fake = normal(6, 2, 3), normal(6, 2, 3, seed=1)
    pairs = measures.group_pairs(real, fake)
    counts = measures._counts(5, "groups", 6)
    assert counts.shape == (measures.RESAMPLES, 6) and (counts.sum(axis=1) == 6).all() and np.ptp(counts[:, 0]) > 1
    values = []
    for row in counts:
        drawn = np.repeat(np.arange(6), row.astype(int))
        values.append(np.mean([pairs[g, h] for g in drawn for h in drawn if g != h]))
    found = measures.kid_of_groups(pairs, 5)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def test_equal_arguments_give_equal_numbers_and_seeds_differ():
    real, fake = normal(12, 4), normal(10, 4, seed=1)
    first, again, other = (measures.kid(real, fake, seed) for seed in (0, 0, 1))
    assert first == again and first.estimate == other.estimate and first.low != other.low
    assert first.low <= first.estimate <= first.high


def test_the_scale_of_the_features_does_not_matter():
    real, fake = normal(12, 4), normal(10, 4, seed=1)
    assert measures.kid(1000 * real, 1000 * fake, 0) == pytest.approx(measures.kid(real, fake, 0))


def test_unbiased_for_one_distribution_and_growing_with_the_shift():
    same = [measures.kid(normal(30, 4, seed=seed), normal(30, 4, seed=100 + seed), 0).estimate for seed in range(60)]
    error = np.std(same) / np.sqrt(len(same))
    assert abs(np.mean(same)) < 3 * error and min(same) < 0
    shifted = [measures.kid(normal(30, 4), normal(30, 4, seed=1, shift=shift), 0).estimate for shift in (0.3, 0.6, 1.2)]
    assert same[0] < shifted[0] < shifted[1] < shifted[2]
    assert measures.kid(normal(30, 4), normal(30, 4, seed=1, shift=1.2), 0).low > 0


def test_groups_whose_images_are_alike_do_not_bias():
    """Reals and fakes of a task share its classes.

    An estimate that ignores this makes fakes of the same distribution seem better than real.
    """
    unbiased, plain = [], []
    for seed in range(80):
        centre = 2 * normal(6, 1, 4, seed=seed)
        real, fake = (centre + 0.3 * normal(6, 3, 4, seed=1000 * seed + side) for side in (1, 2))
        unbiased.append(measures.mean_of_groups(measures.group_pairs(real, fake)))
        plain.append(naive(real.reshape(-1, 4), fake.reshape(-1, 4)))
    error = np.std(unbiased) / np.sqrt(len(unbiased))
    assert abs(np.mean(unbiased)) < 3 * error
    assert np.mean(plain) < -3 * np.std(plain) / np.sqrt(len(plain)), (
        "the pooled estimate was expected to be biased: is the test strong enough?"
    )


def test_too_few_for_an_estimate():
    assert np.isnan(measures.kid(normal(1, 3), normal(5, 3), 0)).all()
    assert np.isnan(measures.kid_of_groups(np.ones((1, 1)), 0)).all() and np.isnan(
        measures.mean_of_groups(np.ones((1, 1)))
    )
    assert np.isnan(measures.likeness(normal(2, 1, 3)))


def test_likeness_of_draws():
    one = normal(3, 1, 4)
    assert measures.likeness(np.repeat(one, 5, axis=1)) == pytest.approx(1)
    assert measures.likeness(np.stack([np.eye(4)] * 2)) == pytest.approx(0)
    assert measures.likeness(np.zeros((1, 3, 4))) == 0
    images = normal(2, 4, 5)
    slow = np.mean([measures.cosine(c[i], c[j]) for c in images for i in range(4) for j in range(4) if i != j])
    assert measures.likeness(images) == pytest.approx(slow)


def test_cosine():
    a = normal(4, 3)
    assert measures.cosine(a, 7 * a) == pytest.approx(1) and measures.cosine(a, -a) == pytest.approx(-1)
    assert measures.cosine(np.zeros((1, 3)), a[:1]) == 0, "a blank feature is like nothing, and no error"
