"""How each kind of claim is measured: differences of accuracy, speed, realism and spread; rank correlations.

All functions take the evidence and the names of variants, and return parts whose effect is
positive if the claim is right. A seed that diverged in one of the variants is left out, except
where stability is measured.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from megan.config.schema import Claims
from megan.report.claims.effects import AllOf, Part
from megan.report.claims.evidence import Evidence

_FEWEST = 5  # a correlation or slope over the variants of a seed needs at least so many
_PAIRINGS = 9_999  # resamples of the permutation test; it is exact if there are fewer permutations


def accuracy(evidence: Evidence, rules: Claims, more: str, less: str, text: str) -> Part:
    """Meta-test accuracy of `more` minus that of `less`; for each seed a mean over common tasks."""
    return Part(text, "accuracy", _paired(evidence.accuracy, more, less), rules.accuracy_margin)


def slightly_below(evidence: Evidence, rules: Claims, variant: str, reference: str, text: str) -> Part:
    """Accuracy of `variant` minus that of `reference`; the claim says that it is above -`slight`."""
    return Part(text, "accuracy", _paired(evidence.accuracy, variant, reference), -rules.slight, -rules.slight)


def realism(evidence: Evidence, rules: Claims, worse: str, better: str, text: str) -> Part:
    """KID of `worse` minus that of `better`; the margin is a share of the mean KID of `worse`."""
    return _relative(evidence.kid[[worse, better]], rules, worse, text, "KID")


def distance(evidence: Evidence, rules: Claims, far: str, near: str, text: str) -> Part:
    """Distance of fakes to their support image, `far` minus `near`; the margin is a share of the mean of `near`."""
    return _relative(evidence.distance[[far, near]], rules, near, text, "distance")


def area(evidence: Evidence, rules: Claims, fast: str, slow: str) -> Part:
    """Mean validation accuracy over training (area under the curve / length), `fast` minus `slow`."""
    both = [evidence.curves.get(name, pd.DataFrame()) for name in (fast, slow)]
    values = []
    for seed in _common(both):
        heights = [np.trapezoid(curve[seed], curve.index) / np.ptp(curve.index) for curve in both if len(curve) > 1]
        values += [heights[0] - heights[1]] if len(heights) == 2 else []
    return Part(
        "mean validation accuracy over training (area under the curve)",
        "accuracy",
        _floats(values),
        rules.accuracy_margin,
    )


def time_to_reach(evidence: Evidence, rules: Claims, fast: str, slow: str) -> Part:
    """Meta-steps that `slow` needs to reach its own last validation accuracy, minus those that `fast` needs.

    For each seed the first crossing counts, with linear interpolation between validations. A curve that never
    reaches the accuracy counts with its whole length, which is less than it would need. So this never favours
    `fast`.
    """
    curves = [evidence.curves.get(name, pd.DataFrame()) for name in (fast, slow)]
    values = []
    for seed in _common(curves):
        target = curves[1][seed].iloc[-1]
        first = [_first_reach(curve[seed], target) for curve in curves]
        values.append(first[1] - first[0])
    margin = rules.speed_margin * evidence.meta_steps[slow]
    return Part(
        "meta-steps saved in reaching the final validation accuracy of the reference",
        "meta-steps",
        _floats(values),
        margin,
    )


def instability(values: pd.DataFrame, evidence: Evidence, variants: Sequence[str]) -> pd.DataFrame:
    """Rank of each planned run, from 0 to 1, by its distance from the median over seeds of its variant.

    The distance is that of Brown and Forsythe (1974). Diverged runs rank after all others. NaN if a
    variant has only one finished seed, so no spread.
    """
    rows = {}
    for name in variants:
        own = values[name].reindex(evidence.planned[name]).astype(float)
        deviation = (own - own.median()).abs() if own.notna().sum() > 1 else own * np.nan
        deviation[[seed for seed in evidence.planned[name] if seed in evidence.diverged[name]]] = np.inf
        rows[name] = deviation
    table = pd.DataFrame(rows)
    ranks = table.stack().rank(method="average")
    return ((ranks - 0.5) / len(ranks)).unstack().reindex(index=table.index, columns=list(variants))


def stability(
    evidence: Evidence, rules: Claims, values: pd.DataFrame, shaky: Sequence[str], steady: Sequence[str], what: str
) -> Part:
    """For each seed the mean rank of instability of the `shaky` variants minus that of the `steady` ones."""
    ranks = instability(values, evidence, [*shaky, *steady])
    difference = ranks[list(shaky)].mean(axis=1) - ranks[list(steady)].mean(axis=1)
    lost = [sum(len(evidence.diverged[name]) for name in group) for group in (shaky, steady)]
    runs = [sum(len(evidence.planned[name]) for name in group) for group in (shaky, steady)]
    counts = f"diverged runs: {lost[0]} of {runs[0]} and {lost[1]} of {runs[1]}"
    text = f"rank of instability of {what} over seeds ({counts})"
    return Part(text, "rank (0 to 1)", _floats(difference.sort_index()), rules.spread_margin)


def realism_and_accuracy(evidence: Evidence, rules: Claims, variants: Sequence[str]) -> AllOf:
    """Rank correlation of realism (low KID) with accuracy over variants: for each seed, and over the variants' means.

    The first asks whether other seeds would agree, for these generators. The second is a permutation test, which
    asks whether other generators would agree. The claim needs both.
    """
    kid, accuracies = evidence.kid[list(variants)], evidence.accuracy[list(variants)]
    kid = kid.reindex(accuracies.index)
    rhos = [_spearman(-kid.loc[seed], accuracies.loc[seed]) for seed in sorted(accuracies.index)]
    by_seed = Part(
        "correlation of realism and accuracy over variants", "Spearman's rho", _floats(rhos), rules.correlation_margin
    )
    both = kid.notna() & accuracies.notna()
    means = pd.DataFrame({"realism": -kid.where(both).mean(), "accuracy": accuracies.where(both).mean()}).dropna()
    rho, p = _permuted(means["realism"].to_numpy(), means["accuracy"].to_numpy())
    over = f"the same over the means of {len(means)} variants, by a permutation test (one value for all seeds)"
    return AllOf((by_seed, Part(over, "Spearman's rho", _floats([rho]), rules.correlation_margin, given=p)))


def sensitivity(evidence: Evidence, rules: Claims, strong: Sequence[str], weak: Sequence[str], text: str) -> Part:
    """Accuracy lost for one standard deviation of KID: that of the `strong` variants minus that of the `weak` ones.

    Each is the negative least-squares slope of accuracy against KID over the matched variants of
    one seed, times the standard deviation of KID over all runs of both groups.
    """
    kid, accuracies = evidence.kid.reindex(evidence.accuracy.index), evidence.accuracy
    both = kid.notna() & accuracies.notna()
    matched = [both[a] & both[b] for a, b in zip(strong, weak, strict=True)]
    values = []
    scale = (
        np.nanstd(kid[[*strong, *weak]].to_numpy(), ddof=1) if both[[*strong, *weak]].to_numpy().sum() > 1 else np.nan
    )
    for seed in sorted(accuracies.index):
        use = [position for position, rows in enumerate(matched) if rows[seed]]
        if len(use) >= _FEWEST:
            slopes = [
                _slope(kid.loc[seed, names].to_numpy(), accuracies.loc[seed, names].to_numpy())
                for names in ([group[position] for position in use] for group in (strong, weak))
            ]
            values.append((slopes[1] - slopes[0]) * scale)
    return Part(text, "accuracy for one standard deviation of KID", _floats(values), rules.accuracy_margin)


def critic_and_realism(evidence: Evidence, rules: Claims, variant: str, text: str) -> Part:
    """Rank correlation, over the tasks of a seed, of the critic's Wasserstein estimate with KID."""
    own = evidence.critic[evidence.critic["variant"] == variant]
    rhos = [_spearman(group["wasserstein"], group["kid"]) for _, group in own.groupby("seed")]
    return Part(text, "Spearman's rho", _floats(rhos), rules.correlation_margin)


def plain_gan(evidence: Evidence, rules: Claims, boundary: int) -> Part:
    """KID of plain GANs with fewer than `boundary` images minus that of GANs with `boundary` or more.

    Differences are taken within a class and seed and averaged over classes: one value for each
    seed. A GAN without a finite KID is left out; its class too, if nothing remains to compare.
    """
    wide = evidence.gan.pivot(index=["seed", "class"], columns="images", values="kid").astype(float)
    few, many = (wide[[k for k in wide.columns if (k < boundary) == low]].mean(axis=1) for low in (True, False))
    margin = rules.realism_margin * max(0.0, many.mean()) if many.notna().any() else 0.0
    return Part(
        f"KID at K < {boundary} minus KID at K >= {boundary}, within class and seed",
        "KID",
        _floats((few - many).groupby("seed").mean()),
        margin,
    )


def _relative(both: pd.DataFrame, rules: Claims, reference: str, text: str, unit: str) -> Part:
    """The first column minus the second; the margin is a share of the mean of the column `reference`."""
    common = both.dropna()
    margin = rules.realism_margin * max(0.0, common[reference].mean()) if len(common) else 0.0
    return Part(text, unit, _paired(both, *both.columns), margin)


def _paired(frame: pd.DataFrame, more: str, less: str) -> tuple[float, ...]:
    return _floats((frame[more] - frame[less]).sort_index())


def _floats(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values if np.isfinite(value))


def _common(curves: list[pd.DataFrame]) -> list[int]:
    return sorted(set.intersection(*(set(curve.columns[curve.notna().all()]) for curve in curves)))


def _first_reach(curve: pd.Series, target: float) -> float:
    steps, heights = curve.index.to_numpy(dtype=float), curve.to_numpy()
    above = np.flatnonzero(heights >= target)
    if not len(above):
        return steps[-1]
    first = above[0]
    if first == 0:
        return steps[0]
    return float(np.interp(target, heights[first - 1 : first + 1], steps[first - 1 : first + 1]))


def _spearman(x: pd.Series, y: pd.Series) -> float:
    """NaN for fewer than `_FEWEST` pairs, or if one side is constant."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    use = np.isfinite(x) & np.isfinite(y)
    if use.sum() < _FEWEST or np.ptp(x[use]) == 0 or np.ptp(y[use]) == 0:
        return np.nan
    return float(stats.spearmanr(x[use], y[use]).statistic)


def _permuted(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Spearman's rho and its one-sided permutation p value; (NaN, 1) if rho does not exist."""
    rho = _spearman(x, y)
    if np.isnan(rho):
        return rho, 1.0
    # The sum of products of ranks gives permutations the same order as rho.
    ranks = stats.rankdata(y)
    test = stats.permutation_test(
        (stats.rankdata(x),),
        lambda shuffled, axis: (shuffled * ranks).sum(axis=axis),
        permutation_type="pairings",
        vectorized=True,
        n_resamples=_PAIRINGS,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return rho, float(test.pvalue)


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float(stats.linregress(x, y).slope) if np.ptp(x) else np.nan
