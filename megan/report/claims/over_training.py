"""How claims about the course of training are measured: speed (2), and the critic's value and realism (17)."""

import math

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import isotonic_regression

from megan.config.claims import Claims
from megan.report.claims.effects import Part
from megan.report.claims.evidence import Evidence
from megan.report.claims.measures import FACTOR, floats

Pair = tuple[pd.Series, pd.Series]  # curves of accuracy by meta-step, of the same seed
_END = 0.1  # the last tenth of the validations gives the final accuracy


def area(evidence: Evidence, rules: Claims, fast: str, slow: str) -> Part:
    """Mean validation accuracy over training (area under the curve / length), `fast` minus `slow`."""
    values = areas(_pairs(evidence, fast, slow))
    text = "mean validation accuracy over training (area under the curve)"
    return Part(text, "accuracy", floats(values), rules.accuracy_margin)


def areas(pairs: list[Pair]) -> list[float]:
    """Difference of the areas of the two curves of each pair, each divided by its length."""
    heights = [[np.trapezoid(curve, curve.index) / np.ptp(curve.index) for curve in pair] for pair in pairs]
    return [float(first - second) for first, second in heights]


def speed(evidence: Evidence, rules: Claims, fast: str, slow: str, share: float) -> Part:
    """Logarithm of the meta-steps that `slow` needs to reach `share` of its own gain, over those that `fast` needs.

    The gain is from the accuracy before training to the final one, of the same seed. A curve that never
    reaches the accuracy counts with its whole length.
    """
    values = log_speeds(_pairs(evidence, fast, slow), share)
    text = f"meta-steps to {share:.0%} of the gain of {slow}, {slow} over {fast}"
    return Part(text, FACTOR, floats(values), rules.speed_margin)


def log_speeds(pairs: list[Pair], share: float) -> list[float]:
    """Logarithm of the meta-steps of the second curve of each pair over those of the first; see `speed`."""
    values = []
    for pair in pairs:
        begin, end = _ends(pair[1])
        steps = [steps_to(curve, begin + share * (end - begin)) for curve in pair]
        values.append(math.log(steps[1] / steps[0]) if min(steps) > 0 else math.nan)
    return values


def steps_to(curve: pd.Series, target: float) -> float:
    """The meta-step at which a curve of accuracy (index: meta-steps) reaches `target`.

    The curve is first made monotonic by least squares (isotonic regression), because a single validation is too
    noisy. Between validations it is interpolated linearly. The last meta-step if it never reaches `target`.
    """
    steps, heights = curve.index.to_numpy(dtype=float), isotonic_regression(curve.to_numpy()).x
    reached = np.flatnonzero(heights >= target)
    if not len(reached):
        return float(steps[-1])
    first = reached[0]
    near = slice(max(0, first - 1), first + 1)
    return float(np.interp(target, heights[near], steps[near]))


def critic_and_realism(evidence: Evidence, rules: Claims, variant: str, text: str) -> Part:
    """Rank correlation (Kendall's tau) of KID with the critic's value over the snapshots of a run.

    The p values are exact within each run, and combined over the seeds by Stouffer's method. A t test over seeds
    cannot be used: the correlation is exactly 1 in every seed if both only fall.
    """
    own = evidence.snapshots[evidence.snapshots["variant"] == variant]
    runs = [run for _, run in own.groupby("seed") if len(run) >= rules.fewest_snapshots and _varies(run)]
    values = floats([stats.kendalltau(run["kid"], run["wasserstein"]).statistic for run in runs])
    given = (_combined(runs, "greater"), _combined(runs, "less")) if runs else (1.0, 1.0)
    return Part(text, "Kendall's tau", values, rules.correlation_margin, given=given)


def _varies(run: pd.DataFrame) -> bool:
    return bool((np.ptp(run[["kid", "wasserstein"]].to_numpy(), axis=0) > 0).all())


def _combined(runs: list[pd.DataFrame], alternative: str) -> float:
    found = [stats.kendalltau(run["kid"], run["wasserstein"], alternative=alternative).pvalue for run in runs]
    # A p value of 1 would be minus infinity in Stouffer's sum.
    return float(stats.combine_pvalues(np.minimum(found, 1 - 1e-6), method="stouffer").pvalue)


def _pairs(evidence: Evidence, fast: str, slow: str) -> list[Pair]:
    """The curves of `fast` and `slow` of each seed that both finished, with at least two validations."""
    curves = [evidence.curves.get(name, pd.DataFrame()) for name in (fast, slow)]
    if min(len(curve) for curve in curves) < 2:
        return []
    seeds = sorted(set.intersection(*(set(curve.columns[curve.notna().all()]) for curve in curves)))
    return [(curves[0][seed], curves[1][seed]) for seed in seeds]


def _ends(curve: pd.Series) -> tuple[float, float]:
    """Accuracy at the first validation, which is before training, and the mean of the last tenth of them."""
    last = max(1, round(_END * (len(curve) - 1)))
    return float(curve.iloc[0]), float(curve.iloc[-last:].mean())
