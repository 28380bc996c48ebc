"""An effect over seeds, its tests for and against a claim, and claims with several parts.

The seed is the unit of inference. An effect is one number for each seed, and the tests are
Student's t tests of the mean. They are paired tests, as each number is a difference within a seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats
from scipy.special import nctdtrinc

from megan.report import statistics

_ALIKE = 1e-9  # a smaller spread is below the rounding of the tables, so it cannot be tested with


@dataclass(frozen=True)
class Part:
    """One effect, with its sign chosen so that the claim says that it is above `threshold`.

    `values`: one number for each seed. `refuted`: the margin. If the effect is below it, the claim
    is refuted. Effects between `threshold` and `refuted` are too small to matter. `given`: a p
    value for the claim that is not computed from `values` (a permutation test).
    """

    text: str
    unit: str
    values: tuple[float, ...]
    refuted: float
    threshold: float = 0.0
    given: float | None = None
    decides: bool = True

    @property
    def seeds(self) -> int:
        return len(self.values)

    @property
    def effect(self) -> float:
        """Mean over seeds; NaN without a seed."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % over seeds, Student's t; NaN for fewer than two seeds."""
        half = statistics.seed_interval(self.values)
        return self.effect - half, self.effect + half

    @property
    def p(self) -> float:
        """One-sided p value of "the effect is at most `threshold`". A small p supports the claim."""
        return _above(self.values, self.threshold) if self.given is None else self.given

    @property
    def p_against(self) -> float:
        """One-sided p value of "the effect is at least `refuted`". A small p speaks against the claim."""
        return _above([-value for value in self.values], -self.refuted) if self.given is None else 1.0

    def detectable(self, level: float, power: float) -> float:
        """The effect above `threshold` that is found with probability `power` at one-sided `level`.

        From the noncentral t distribution with this part's own spread over seeds (Cohen,
        Statistical Power Analysis, 2nd ed., chapter 2). NaN for fewer than two seeds.
        """
        if self.seeds < 2 or self.given is not None:
            return math.nan
        degrees = self.seeds - 1
        critical = stats.t.ppf(1 - level, degrees)
        return float(nctdtrinc(degrees, 1 - power, critical) * np.std(self.values, ddof=1) / math.sqrt(self.seeds))


@dataclass(frozen=True)
class AllOf:
    """A claim that holds if all its parts hold.

    The weakest part decides for it (intersection-union test, Berger 1982: the largest p needs no
    correction). Any part can refute it, so the smallest p counts, with Bonferroni's correction.
    """

    parts: tuple["Node", ...]

    @property
    def p(self) -> float:
        return max(part.p for part in self.parts)

    @property
    def p_against(self) -> float:
        able = [part.p_against for part in self.parts if not (isinstance(part, Part) and part.given is not None)]
        return min(1.0, len(able) * min(able))


@dataclass(frozen=True)
class AnyOf:
    """A claim that holds if any part holds: `AllOf` with the tests for and against exchanged."""

    parts: tuple["Node", ...]

    @property
    def p(self) -> float:
        return min(1.0, len(self.parts) * min(part.p for part in self.parts))

    @property
    def p_against(self) -> float:
        return max(part.p_against for part in self.parts)


Node = Part | AllOf | AnyOf


@dataclass(frozen=True)
class Measured:
    """The measurements for a claim: the node that decides, and parts that are only shown."""

    node: Node
    asides: tuple[Part, ...] = field(default=())

    @property
    def parts(self) -> list[Part]:
        return leaves(self.node) + [replace(part, decides=False) for part in self.asides]


def leaves(node: Node) -> list[Part]:
    return [node] if isinstance(node, Part) else [part for child in node.parts for part in leaves(child)]


def decisive(node: Node, against: bool) -> Part:
    """The part that decides the verdict: the weakest part for the claim, or the strongest part against it."""
    if isinstance(node, Part):
        return node
    if against:
        pick = min if isinstance(node, AllOf) else max
        return decisive(pick(node.parts, key=lambda part: part.p_against), against)
    pick = max if isinstance(node, AllOf) else min
    return decisive(pick(node.parts, key=lambda part: part.p), against)


def holm(values: Sequence[float]) -> list[float]:
    """Adjusted p values in the given order (Holm 1979). They bound the error rate over all claims.

    NaN is a claim without a test. It counts as p = 1, so that no claim becomes easier to support
    because another could not be tested.
    """
    plain = [1.0 if math.isnan(value) else value for value in values]
    adjusted, running = [math.nan] * len(plain), 0.0
    for rank, index in enumerate(sorted(range(len(plain)), key=plain.__getitem__)):
        running = max(running, min(1.0, (len(plain) - rank) * plain[index]))
        adjusted[index] = running
    return adjusted


def _above(values: Sequence[float], bound: float) -> float:
    """One-sided p value of "the mean is at most `bound`"; 1 for fewer than two values."""
    array = np.asarray(values, dtype=float)
    if array.size < 2:
        return 1.0
    if array.std(ddof=1) < _ALIKE:
        # Without spread there is no t test. A sign test is used instead; all signs agree.
        return 0.5**array.size if array.mean() - bound > _ALIKE else 1.0
    return float(stats.ttest_1samp(array, bound, alternative="greater").pvalue)
