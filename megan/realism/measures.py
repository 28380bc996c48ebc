"""Distance between generated and real images, in the features of an encoder.

The kernel distance (KID) is the unbiased estimate of the squared maximum mean discrepancy
with the kernel k(x, y) = (x . y / d + 1)^3 of Binkowski et al. 2018 ("Demystifying MMD
GANs"), with an interval. It is 0 if the features have the same distribution. An estimate may be
below 0. `scale` makes it comparable between encoders. Features are float64 numpy arrays. Results
depend only on the arguments.
"""

from typing import NamedTuple

import numpy as np
import torch

from megan.ops import streams

RESAMPLES = 1000
LEVEL = 0.95
_BLOCK = 1024  # rows of a kernel matrix held at a time


class Kid(NamedTuple):
    """An estimate with its 95 % bootstrap percentile interval. NaN if there are too few images."""

    estimate: float
    low: float
    high: float


def scale(features: np.ndarray) -> float:
    """The root mean square of real features [..., d]: divide by it, so that x . y / d is about one at most."""
    return float(np.sqrt(np.mean(np.square(features, dtype=np.float64)))) or 1.0


def kid(real: np.ndarray, fake: np.ndarray, seed: int) -> Kid:
    """KID of independent images. The interval comes from resampling the images of both sides.

    **Arguments** `real` [n, d], `fake` [m, d], as the encoder gives them: both are divided by
    the `scale` of `real`; `seed` keys the resampling.
    """
    size = scale(real)
    real, fake = real / size, fake / size
    if min(len(real), len(fake)) < 2:
        return Kid(np.nan, np.nan, np.nan)
    kernels = [kernel(a, b) for a, b in ((real, real), (fake, fake), (real, fake))]
    n, m = (_counts(seed, side, len(images)) for side, images in (("real", real), ("fake", fake)))
    ones = np.ones((1, len(real))), np.ones((1, len(fake)))
    return _interval(
        *(_within(kernels[0], a) + _within(kernels[1], b) - 2 * _across(kernels[2], a, b) for a, b in (ones, (n, m)))
    )


def kid_of_groups(pairs: np.ndarray, seed: int) -> Kid:
    """KID of images in groups (tasks). The interval comes from resampling groups.

    **Arguments** `pairs` from `group_pairs`; `seed` keys the resampling.
    """
    if len(pairs) < 2:
        return Kid(np.nan, np.nan, np.nan)
    return _interval(_within(pairs, np.ones((1, len(pairs)))), _within(pairs, _counts(seed, "groups", len(pairs))))


def mean_of_groups(pairs: np.ndarray) -> float:
    """The estimate of `kid_of_groups` alone."""
    return float(_within(pairs, np.ones((1, len(pairs))))[0]) if len(pairs) > 1 else float("nan")


def group_pairs(real: np.ndarray, fake: np.ndarray, real_kernels: np.ndarray | None = None) -> np.ndarray:
    """The contribution of each pair of groups to the squared discrepancy: [groups, groups].

    Only pairs of different groups count. So images within a group may be similar (the classes of a
    task, the drawings of a class), and fakes may be similar to the reals that they were made from.
    The estimate is unbiased if groups are independent.

    **Arguments** `real` [groups, n, d], `fake` [groups, m, d], divided by `scale`;
    `real_kernels`: `group_kernels(real, real)`, if known.
    """
    own = group_kernels(real, real) if real_kernels is None else real_kernels
    mixed = group_kernels(real, fake)
    return own + group_kernels(fake, fake) - mixed - mixed.T


def group_kernels(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean kernel between the images of two groups: [groups, n, d], [groups, m, d] -> [groups, groups]."""
    columns = b.reshape(-1, b.shape[2])
    rows = max(1, _BLOCK // a.shape[1])
    blocks = [
        kernel(some.reshape(-1, some.shape[2]), columns).reshape(len(some), a.shape[1], len(b), b.shape[1])
        for some in _split(a, rows)
    ]
    return np.concatenate([block.mean(axis=(1, 3)) for block in blocks])


def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(x . y / d + 1)^3: [n, d], [m, d] -> [n, m]."""
    dot = a @ b.T / a.shape[1] + 1
    return dot * dot * dot


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of the angle between features, [..., d] with [..., d] -> [...]; 1 for equal directions."""
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.sum(a * b, axis=-1) / np.where(norms == 0, 1, norms)


def likeness(features: np.ndarray) -> float:
    """Mean cosine over all pairs of different images of one class: [classes, n, d].

    1 if all are identical (collapse). NaN for n = 1.
    """
    count = features.shape[1]
    if count < 2:
        return float("nan")
    norms = np.linalg.norm(features, axis=-1, keepdims=True)
    directions = features / np.where(norms == 0, 1, norms)
    pairs = np.square(directions.sum(axis=1)).sum(axis=-1) - np.square(directions).sum(axis=(1, 2))
    return float(pairs.mean() / (count * (count - 1)))


def _split(values: np.ndarray, size: int) -> list[np.ndarray]:
    return [values[first : first + size] for first in range(0, len(values), size)]


def _counts(seed: int, side: str, count: int) -> np.ndarray:
    """How often each of `count` members is drawn, with replacement, in each resample: [RESAMPLES, count]."""
    resample = torch.arange(RESAMPLES)
    key = streams.key(torch.tensor([seed]), f"realism/{side}", 0, resample)[0]
    drawn = (streams.uniform(key, count) * count).long().clamp(max=count - 1)
    places = (drawn + count * resample[:, None]).flatten()
    return torch.bincount(places, minlength=RESAMPLES * count).view(RESAMPLES, count).double().numpy()


def _within(pairs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean of `pairs` [n, n] over pairs of different members, each repeated as in `counts` [resamples, n]."""
    apart = pairs - np.diag(np.diag(pairs))
    weight = counts.sum(axis=1) ** 2 - np.square(counts).sum(axis=1)
    with np.errstate(invalid="ignore"):  # a resample with a single member has no pair, so no mean
        return ((counts @ apart) * counts).sum(axis=1) / weight


def _across(pairs: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return ((rows @ pairs) * columns).sum(axis=1) / (rows.sum(axis=1) * columns.sum(axis=1))


def _interval(estimate: np.ndarray, resampled: np.ndarray) -> Kid:
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Kid(float(estimate[0]), float(low), float(high))
