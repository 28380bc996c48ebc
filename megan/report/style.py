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

DPI = 300
COLUMN, PAGE = 3.4, 7.0  # inches: widths of one and of two columns of a paper
SMALL, TINY = 8, 7  # points: text of a figure at its printed size
MUTED = "#9a9a9a"  # references and notes, behind the variants' own colours
_MARKERS = ("o", "s", "^", "D", "v", "P", "*")
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (8, 3)))


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
        "font.size": SMALL,
        "axes.titlesize": SMALL,
        "axes.labelsize": SMALL,
        "xtick.labelsize": TINY,
        "ytick.labelsize": TINY,
        "legend.fontsize": TINY,
        "figure.constrained_layout.h_pad": 0.06,
        "figure.constrained_layout.w_pad": 0.06,
    }
    with matplotlib.rc_context(settings):
        yield


def wrapped(text: str, width: int) -> str:
    """`text` in lines of at most `width` characters. Its own line breaks remain."""
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in text.split("\n"))


def looks(variants: dict[str, Style]) -> dict[str, Look]:
    """A marker and a dash pattern for each variant, so that lines differ without colour, in grey print too."""
    return {
        name: {"marker": _MARKERS[position % len(_MARKERS)], "linestyle": _DASHES[position % len(_DASHES)]}
        for position, name in enumerate(variants)
    }


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
