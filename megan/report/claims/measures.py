"""How claims about tested networks are measured: differences of accuracy and realism, correlations and slopes.

`over_training` and `stability` hold the other measures. All functions take the evidence and the names of
variants, and return parts whose effect is positive if the claim is right. A seed without a number in one of the
variants is left out.

KID is compared by its logarithm, because its spread grows with its size: an effect is the logarithm of the
factor between two KIDs.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from megan.config.claims import Claims
from megan.report.claims.effects import AllOf, Part
from megan.report.claims.evidence import Evidence

FACTOR = "log of the factor"  # unit of differences of logarithms
FEWEST = 5  # a correlation or slope over the variants of a seed needs at least so many
_PAIRINGS = 9_999  # resamples of the permutation test; it is exact if there are fewer permutations


def accuracy(evidence: Evidence, rules: Claims, more: str, less: str, text: str) -> Part:
    """Meta-test accuracy of `more` minus that of `less`; for each seed a mean over common tasks."""
    return Part(text, "accuracy", paired(evidence.accuracy, more, less), rules.accuracy_margin)


def slightly_below(evidence: Evidence, rules: Claims, variant: str, reference: str, text: str) -> Part:
    """Accuracy of `variant` minus that of `reference`; the claim says that it is above -`slight`."""
    values = paired(evidence.accuracy, variant, reference)
    return Part(text, "accuracy", values, rules.accuracy_margin, threshold=-rules.slight)


def log_kid(kid: pd.DataFrame, rules: Claims) -> pd.DataFrame:
    """The natural logarithm of KID. Values below `kid_floor`, which are those of real images, count as `kid_floor`."""
    return np.log(kid.clip(lower=rules.kid_floor))


def realism(evidence: Evidence, rules: Claims, worse: str, better: str, text: str) -> Part:
    """Logarithm of the KID of `worse` over that of `better`."""
    return Part(text, FACTOR, paired(log_kid(evidence.kid, rules), worse, better), rules.realism_margin)


def distance(evidence: Evidence, rules: Claims, far: str, near: str, text: str) -> Part:
    """Distance of fakes to their support image, `far` minus `near`."""
    return Part(text, "distance", paired(evidence.distance, far, near), rules.distance_margin)


def realism_and_accuracy(evidence: Evidence, rules: Claims, variants: Sequence[str]) -> AllOf:
    """Rank correlation of realism (low KID) with accuracy over variants: for each seed, and over the variants' means.

    The first asks whether other seeds would agree, for these generators. The second is a permutation test, which
    asks whether other generators would agree. The claim needs both.
    """
    kid, accuracies = evidence.kid[list(variants)], evidence.accuracy[list(variants)]
    kid = kid.reindex(accuracies.index)
    rhos = [spearman(-kid.loc[seed], accuracies.loc[seed]) for seed in sorted(accuracies.index)]
    by_seed = Part(
        "correlation of realism and accuracy over variants", "Spearman's rho", floats(rhos), rules.correlation_margin
    )
    both = kid.notna() & accuracies.notna()
    logs = log_kid(kid, rules).where(both)
    means = pd.DataFrame({"realism": -logs.mean(), "accuracy": accuracies.where(both).mean()}).dropna()
    rho, given = _permuted(means["realism"].to_numpy(), means["accuracy"].to_numpy())
    over = f"the same over the means of {len(means)} variants, by a permutation test (one value for all seeds)"
    return AllOf((by_seed, Part(over, "Spearman's rho", floats([rho]), rules.correlation_margin, given=given)))


def sensitivity(evidence: Evidence, rules: Claims, strong: Sequence[str], weak: Sequence[str], text: str) -> Part:
    """Accuracy lost for one standard deviation of log KID: that of the `strong` variants minus that of the `weak` ones.

    Each is the negative least-squares slope of accuracy against log KID over the matched variants of
    one seed, times the standard deviation of log KID over all runs of both groups.
    """
    kid, accuracies = log_kid(evidence.kid, rules).reindex(evidence.accuracy.index), evidence.accuracy
    both = kid.notna() & accuracies.notna()
    matched = [both[a] & both[b] for a, b in zip(strong, weak, strict=True)]
    values = []
    scale = (
        np.nanstd(kid[[*strong, *weak]].to_numpy(), ddof=1) if both[[*strong, *weak]].to_numpy().sum() > 1 else np.nan
    )
    for seed in sorted(accuracies.index):
        use = [position for position, rows in enumerate(matched) if rows[seed]]
        if len(use) >= FEWEST:
            slopes = [
                _slope(kid.loc[seed, names].to_numpy(), accuracies.loc[seed, names].to_numpy())
                for names in ([group[position] for position in use] for group in (strong, weak))
            ]
            values.append((slopes[1] - slopes[0]) * scale)
    return Part(text, "accuracy for one standard deviation of log KID", floats(values), rules.accuracy_margin)


def plain_gan(evidence: Evidence, rules: Claims, boundary: int) -> Part:
    """Logarithm of the KID of plain GANs with fewer than `boundary` images over that of GANs with `boundary` or more.

    Differences are taken within a class and seed and averaged over classes: one value for each
    seed. A GAN without a finite KID is left out; its class too, if nothing remains to compare.
    """
    logs = log_kid(plain_gan_kid(evidence), rules)
    few, many = (logs[[k for k in logs.columns if (k < boundary) == low]].mean(axis=1) for low in (True, False))
    return Part(
        f"KID at K < {boundary} over KID at K >= {boundary}, within class and seed",
        FACTOR,
        floats((few - many).groupby("seed").mean()),
        rules.realism_margin,
    )


def plain_gan_kid(evidence: Evidence) -> pd.DataFrame:
    """KID by (seed, class) and K."""
    return evidence.gan.pivot(index=["seed", "class"], columns="images", values="kid").astype(float)


def paired(frame: pd.DataFrame, more: str, less: str) -> tuple[float, ...]:
    """The differences of two columns, in the order of the seeds, where both have a number."""
    return floats((frame[more] - frame[less]).sort_index())


def floats(values: Sequence[float]) -> tuple[float, ...]:
    """The finite numbers."""
    return tuple(float(value) for value in values if np.isfinite(value))


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """NaN for fewer than `FEWEST` pairs, or if one side is constant."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    use = np.isfinite(x) & np.isfinite(y)
    if use.sum() < FEWEST or np.ptp(x[use]) == 0 or np.ptp(y[use]) == 0:
        return np.nan
    return float(stats.spearmanr(x[use], y[use]).statistic)


def _permuted(x: np.ndarray, y: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Spearman's rho and its permutation p values for a positive and for a negative one; (NaN, (1, 1)) without rho."""
    rho = spearman(x, y)
    if np.isnan(rho):
        return rho, (1.0, 1.0)
    # The sum of products of ranks gives permutations the same order as rho.
    ranks = stats.rankdata(y)
    found = [
        stats.permutation_test(
            (stats.rankdata(x),),
            lambda shuffled, axis: (shuffled * ranks).sum(axis=axis),
            permutation_type="pairings",
            vectorized=True,
            n_resamples=_PAIRINGS,
            alternative=alternative,
            rng=np.random.default_rng(0),
        )
        for alternative in ("greater", "less")
    ]
    return rho, (float(found[0].pvalue), float(found[1].pvalue))


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(stats.linregress(x, y).slope) if np.ptp(x) else np.nan
