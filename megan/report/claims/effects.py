"""An effect, its three tests, and claims with several parts.

The seed is the unit of inference. In most cases an effect is one number for each seed, a
difference within the seed, and the tests are Student's t tests of the mean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import nctdtrinc, stdtr, stdtrit

_ALIKE = 1e-9  # a smaller spread is below the rounding of the tables, so it cannot be tested with
_LEVEL = 0.95  # of intervals
P, P_OPPOSITE, P_EQUAL = "p", "p_opposite", "p_equal"  # the three tests of a part


@dataclass(frozen=True)
class Part:
    """One effect, with its sign chosen so that the claim says that it is above `threshold`.

    `values`: one number for each seed. `others`: if given, the effect is the mean of `values` minus that
    of `others`, one number for each run of two groups (Welch's test). An effect nearer to 0 than `margin`
    is too small to matter. `given`: p values for and against, by a test that does not use the mean of
    `values` (a permutation test). `planned`: seeds, if `values` has another length.
    """

    text: str
    unit: str
    values: tuple[float, ...]
    margin: float
    threshold: float = 0.0
    others: tuple[float, ...] | None = None
    given: tuple[float, float] | None = None
    planned: int | None = None
    decides: bool = True

    @property
    def seeds(self) -> int:
        return len(self.values) if self.planned is None else self.planned

    @property
    def effect(self) -> float:
        """NaN without a value."""
        if not self.values or self.others == ():
            return math.nan
        return float(np.mean(self.values) - (np.mean(self.others) if self.others else 0.0))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval by Student's t; NaN for fewer than two values."""
        half = self._error * float(stdtrit(self._degrees, 0.5 + _LEVEL / 2)) if self._tested else math.nan
        return self.effect - half, self.effect + half

    @property
    def p(self) -> float:
        """One-sided p value of "the effect is at most `threshold`". A small p supports the claim."""
        return self._above(self.threshold) if self.given is None else self.given[0]

    @property
    def p_opposite(self) -> float:
        """One-sided p value of "the effect is at least `threshold`". A small p says the opposite of the claim."""
        return self._below(self.threshold) if self.given is None else self.given[1]

    @property
    def p_equal(self) -> float:
        """p value of "the effect is -`margin` or less, or `margin` or more" (two one-sided tests, Schuirmann 1987).

        A small p says that there is no difference that matters. 1 if the threshold is not 0.
        """
        if self.given is not None or self.threshold != 0:
            return 1.0
        return max(self._above(-self.margin), self._below(self.margin))

    def detectable(self, level: float, power: float) -> float:
        """The effect above `threshold` that is found with probability `power` at one-sided `level`.

        From the noncentral t distribution with this part's own spread (Cohen, Statistical Power
        Analysis, 2nd ed., chapter 2). NaN if there are too few values.
        """
        if not self._tested or self.given is not None:
            return math.nan
        critical = stdtrit(self._degrees, 1 - level)
        return float(nctdtrinc(self._degrees, 1 - power, critical) * self._error)

    @property
    def _tested(self) -> bool:
        return min(len(group) for group in self._groups) > 1

    @property
    def _groups(self) -> list[tuple[float, ...]]:
        return [self.values] if self.others is None else [self.values, self.others]

    @property
    def _error(self) -> float:
        """Standard error of the effect."""
        return math.sqrt(sum(self._squares))

    @property
    def _squares(self) -> list[float]:
        """Squared standard errors of the means of the groups."""
        return [float(np.var(group, ddof=1)) / len(group) for group in self._groups]

    @property
    def _degrees(self) -> float:
        """Degrees of freedom; of two groups by Welch (1947)."""
        squares = self._squares
        if self.others is None or not sum(squares):
            return len(self.values) - 1
        shares = sum(square**2 / (len(group) - 1) for square, group in zip(squares, self._groups, strict=True))
        return sum(squares) ** 2 / shares

    def _above(self, bound: float) -> float:
        """One-sided p value of "the effect is at most `bound`"; 1 if there are too few values."""
        if not self._tested:
            return 1.0
        if self._error < _ALIKE:
            # Without spread there is no t test. A sign test is used instead; all signs agree.
            return 0.5 ** len(self.values) if self.effect - bound > _ALIKE else 1.0
        return float(stdtr(self._degrees, (bound - self.effect) / self._error))

    def _below(self, bound: float) -> float:
        return self.turned._above(-bound)

    @property
    def turned(self) -> "Part":
        """The same effect with the other sign."""
        others = None if self.others is None else tuple(-value for value in self.others)
        return replace(self, values=tuple(-value for value in self.values), others=others)


@dataclass(frozen=True)
class AllOf:
    """A claim that holds if all its parts hold.

    The weakest part decides for it (intersection-union test, Berger 1982: the largest p needs no
    correction). It fails with any part, so the smallest p counts there, with Bonferroni's correction.
    """

    parts: tuple["Node", ...]

    @property
    def p(self) -> float:
        return max(part.p for part in self.parts)

    @property
    def p_opposite(self) -> float:
        return _any(self.parts, P_OPPOSITE)

    @property
    def p_equal(self) -> float:
        return _any(self.parts, P_EQUAL)


@dataclass(frozen=True)
class AnyOf:
    """A claim that holds if any part holds, and fails if all fail."""

    parts: tuple["Node", ...]

    @property
    def p(self) -> float:
        return _any(self.parts, P)

    @property
    def p_opposite(self) -> float:
        return max(part.p_opposite for part in self.parts)

    @property
    def p_equal(self) -> float:
        return max(part.p_equal for part in self.parts)


Node = Part | AllOf | AnyOf


def _any(parts: Sequence[Node], which: str) -> float:
    """The smallest p value, with Bonferroni's correction."""
    return min(1.0, len(parts) * min(getattr(part, which) for part in parts))


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


def decisive(node: Node, which: str) -> Part:
    """The part whose p value decides the test `which`: of parts that must all hold, the weakest for the claim or
    the strongest against it."""
    if isinstance(node, Part):
        return node
    weakest = isinstance(node, AllOf) == (which == P)
    return decisive((max if weakest else min)(node.parts, key=lambda part: getattr(part, which)), which)


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
