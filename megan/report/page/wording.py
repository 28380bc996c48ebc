"""Numbers as text."""

import math


def percent(share: float, digits: int = 1) -> str:
    """A share from 0 to 1 as a percentage; "" for NaN."""
    return "" if math.isnan(share) else f"{share:.{digits}%}".replace("%", " %")


def points(share: float, digits: int = 2) -> str:
    """A difference of shares as signed percentage points, without the unit."""
    return "" if math.isnan(share) else f"{100 * share:+.{digits}f}"


def half(width: float, digits: int = 2) -> str:
    """A half-width of an interval of shares, in points; "" for NaN."""
    return "" if math.isnan(width) else f"± {100 * width:.{digits}f}"


def duration(seconds: float) -> str:
    """ "50 s", "12 min" or "3.2 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def joined(words: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
