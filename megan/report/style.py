"""The style of all figures.

Nothing here touches matplotlib's global state or needs a display: figures are plain
`Figure` objects, and the theme holds inside `theme()` only.
"""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib

matplotlib.use("Agg")  # seaborn imports pyplot, which otherwise looks for a display

import seaborn
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from megan.config.params import Style

Look = dict[str, Any]  # keyword arguments of an artist

DPI = 150
MUTED = "#9a9a9a"  # references and notes, behind the variants' own colours
_MARKERS = ("", "s", "^", "D", "v", "P", "*")  # not "o", which marks a curve of one point


@contextmanager
def theme() -> Iterator[None]:
    """Seaborn's white grid. Settings that could make files differ between machines are fixed."""
    settings = {
        **seaborn.axes_style("whitegrid"),
        **seaborn.plotting_context("paper"),
        "figure.dpi": DPI,  # the layout uses the letter widths of the PNG
        "font.family": ["DejaVu Sans"],  # the font that matplotlib ships; seaborn would prefer Arial
        "svg.hashsalt": "megan",
        "svg.fonttype": "path",
        "text.parse_math": False,  # a dollar sign in a variant's name is not mathematics
        "grid.color": "#e4e4e4",
        "axes.edgecolor": "#b0b0b0",
        "figure.titlesize": 11,
        "figure.titleweight": "bold",
    }
    with matplotlib.rc_context(settings):
        yield


def wrapped(text: str, width: int) -> str:
    """`text` in lines of at most `width` characters. Its own line breaks remain."""
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in text.split("\n"))


def markers(variants: dict[str, Style]) -> dict[str, str]:
    """A marker for each variant, so that variants of one colour differ. The first of a colour has none."""
    used: dict[str, int] = {}
    chosen = {}
    for name, variant in variants.items():
        rank = used.get(variant.colour.lower(), 0)
        chosen[name] = _MARKERS[rank % len(_MARKERS)]
        used[variant.colour.lower()] = rank + 1
    return chosen


def whole_numbers(axes: Axes, ticks: int) -> None:
    """At most `ticks` whole numbers on the x axis; large ones with `k` for thousands."""
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True))
    if axes.get_xlim()[1] >= 10_000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def percent(axes: Axes, which: str, limits: Sequence[float]) -> None:
    """Show accuracies as percentages on axis `which` (`x` | `y`), never beyond 0 and 100 %."""
    low, high = max(0.0, limits[0]), min(1.0, limits[1])
    axes.set(**{f"{which}lim": (low, high)})
    # With steps of 2.5 %, rounded labels would not match their positions.
    getattr(axes, f"{which}axis").set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
    decimals = 0 if high - low > 0.05 else 1 if high - low > 0.005 else 2
    getattr(axes, f"{which}axis").set_major_formatter(PercentFormatter(1, decimals=decimals))
