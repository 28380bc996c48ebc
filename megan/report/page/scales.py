"""Positions on the axes that the page draws as HTML, in percent of the axis' width."""

import math
from dataclasses import dataclass

TICKS = (1, 3, 10, 30, 100)  # of the axis in margins


@dataclass(frozen=True)
class Linear:
    """An axis from `low` to `high`."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Position of `value`, cut at the ends of the axis."""
        return _percent((value - self.low) / (self.high - self.low))

    def ticks(self) -> list[float]:
        """Round values within the axis, at most seven."""
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        return [round(number * step, 10) for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Margins:
    """A symmetric axis in units of a claim's margin: linear near 0, logarithmic beyond (`asinh`).

    Effects of very different size then fit on one axis. `most` margins are at its right end.
    """

    most: float

    def at(self, margins: float) -> float:
        return _percent(0.5 + 0.5 * math.asinh(margins) / math.asinh(self.most))

    def ticks(self) -> list[float]:
        ends = [tick for tick in TICKS if tick <= self.most]
        return [*(-tick for tick in reversed(ends)), 0, *ends]


def around(values: list[float]) -> Linear:
    """An accuracy axis that holds all `values` (0 to 1), with room on both sides. Without values 0 to 1."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return Linear(0.0, 1.0)
    low, high = min(known), max(known)
    room = max(0.08 * (high - low), 0.004)
    return Linear(max(0.0, low - room), min(1.0, high + room))


def _round_step(step: float) -> float:
    power: float = 10 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


def _percent(share: float) -> float:
    return round(100 * min(1.0, max(0.0, share)), 2)
