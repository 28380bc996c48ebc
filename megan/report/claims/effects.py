"""An effect over seeds, its tests for and against a claim, and claims that are made of several.

The seed is the unit of inference: an effect is one number a seed, and all tests are
Student's t tests of their mean (a paired test, as each number is a difference within a seed).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats
from scipy.special import nctdtrinc

from megan.report import statistics

_ALIKE = 1e-9  # values closer than the tables' rounding have no spread to test with


@dataclass(frozen=True)
class Part:
    """One effect, turned so that the claim says that it lies above `threshold`.

    `values`: one number a seed. `refuted`: below it, the claim does not hold; between
    `threshold` and `refuted` lie effects too small to matter. `given`: a p value for the
    claim that does not come from the values (a permutation test).
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
        """Mean over seeds; NaN without one."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % over seeds, Student's t; NaN for fewer than two seeds."""
        half = statistics.seed_interval(self.values)
        return self.effect - half, self.effect + half

    @property
    def p(self) -> float:
        """Of "the effect is at most `threshold`", one-sided: small speaks for the claim."""
        return _above(self.values, self.threshold) if self.given is None else self.given

    @property
    def p_against(self) -> float:
        """Of "the effect is at least `refuted`", one-sided: small speaks against the claim."""
        return _above([-value for value in self.values], -self.refuted) if self.given is None else 1.0

    def detectable(self, level: float, power: float) -> float:
        """Effect above `threshold` found with probability `power` at one-sided `level`.

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
    """A claim that holds when every part does.

    For it speaks its weakest part (intersection-union test, Berger 1982: the largest p is
    valid as it stands). Against it speaks any part, so the smallest p counts by Bonferroni.
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
    """A claim that holds when one part does: `AllOf` with for and against exchanged."""

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
    """What a claim's tables say: the node that decides, and parts that only inform."""

    node: Node
    asides: tuple[Part, ...] = field(default=())

    @property
    def parts(self) -> list[Part]:
        return leaves(self.node) + [replace(part, decides=False) for part in self.asides]


def leaves(node: Node) -> list[Part]:
    return [node] if isinstance(node, Part) else [part for child in node.parts for part in leaves(child)]


def decisive(node: Node, against: bool) -> Part:
    """The part on which the verdict rests: the weakest link for the claim, or the strongest case against it."""
    if isinstance(node, Part):
        return node
    if against:
        pick = min if isinstance(node, AllOf) else max
        return decisive(pick(node.parts, key=lambda part: part.p_against), against)
    pick = max if isinstance(node, AllOf) else min
    return decisive(pick(node.parts, key=lambda part: part.p), against)


def holm(values: Sequence[float]) -> list[float]:
    """Adjusted p values in the given order (Holm 1979): they keep the family's error rate.

    A NaN is a claim without a test; it counts in the family as p = 1, so that no claim gets
    easier because another could not be tested.
    """
    plain = [1.0 if math.isnan(value) else value for value in values]
    adjusted, running = [math.nan] * len(plain), 0.0
    for rank, index in enumerate(sorted(range(len(plain)), key=plain.__getitem__)):
        running = max(running, min(1.0, (len(plain) - rank) * plain[index]))
        adjusted[index] = running
    return adjusted


def _above(values: Sequence[float], bound: float) -> float:
    """One-sided p of "the mean is at most `bound`"; 1 for fewer than two values."""
    array = np.asarray(values, dtype=float)
    if array.size < 2:
        return 1.0
    if array.std(ddof=1) < _ALIKE:
        # No spread to scale with: what is left is that all signs agree (sign test).
        return 0.5**array.size if array.mean() - bound > _ALIKE else 1.0
    return float(stats.ttest_1samp(array, bound, alternative="greater").pvalue)
