"""The look that all figures share, and the one way to write them.

Nothing here touches matplotlib's global state or needs a display: figures are plain
`Figure` objects, and the theme holds inside `theme()` only.
"""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # seaborn imports pyplot, which would else look for a display

import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from megan.config.params import Style
from megan.runs import storage

DPI = 150
MUTED = "#9a9a9a"  # references and notes, behind the variants' own colours
_MARKERS = ("", "s", "^", "D", "v", "P", "*")  # not "o", which a point of any first curve may wear


@contextmanager
def theme() -> Iterator[None]:
    """Seaborn's white grid, with what would make the files differ between machines pinned."""
    settings = {
        **seaborn.axes_style("whitegrid"),
        **seaborn.plotting_context("paper"),
        "font.family": ["DejaVu Sans"],  # the font that matplotlib brings; seaborn asks for Arial first
        "svg.hashsalt": "megan",
        "svg.fonttype": "path",
        "text.parse_math": False,  # a dollar in a variant's name is a dollar
        "grid.color": "#e4e4e4",
        "axes.edgecolor": "#b0b0b0",
        "figure.titlesize": 11,
        "figure.titleweight": "bold",
    }
    with matplotlib.rc_context(settings):
        yield


def save(figure: Figure, out: Path, name: str) -> None:
    """Write `out/name.png` and `out/name.svg`; drawing the same figure again gives the same bytes.

    Title and caption go along as metadata, since a reader of the files sees letters as paths.
    """
    words = {"Title": " ".join(figure.get_suptitle().split()), "Description": " ".join(figure.get_supxlabel().split())}
    with theme():
        _settle(figure)
        # Software and Creator would carry matplotlib's version, Date the moment of drawing.
        for suffix, metadata in (
            ("png", {"Software": None, **words}),
            ("svg", {"Date": None, "Creator": None, **words}),
        ):
            with storage.replacing(out / f"{name}.{suffix}") as temporary:
                figure.savefig(temporary, format=suffix, dpi=DPI, metadata=metadata)


def _settle(figure: Figure) -> None:
    """Fix the layout: its solver's last digits differ from run to run, and the names of clipping areas are made of them."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position([round(bound, 6) for bound in axes.get_position().bounds])


def wrapped(text: str, width: int) -> str:
    """`text` in lines of at most `width` characters, its own line breaks kept."""
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in text.split("\n"))


def headings(figure: Figure, title: str, caption: str) -> None:
    """A title above and a caption below, for which constrained layout makes room."""
    width = figure.get_figwidth()
    figure.suptitle(wrapped(title, int(width * 10)), x=0.01, ha="left")
    figure.supxlabel(
        wrapped(caption, int(width * 16.5)), x=0.01, ha="left", fontsize=8, color="#444444", weight="normal"
    )


def markers(variants: dict[str, Style]) -> dict[str, str]:
    """A marker for each variant: none for the first of a colour, so that two of one colour differ."""
    used: dict[str, int] = {}
    chosen = {}
    for name, variant in variants.items():
        rank = used.get(variant.colour.lower(), 0)
        chosen[name] = _MARKERS[rank % len(_MARKERS)]
        used[variant.colour.lower()] = rank + 1
    return chosen


def whole_numbers(axes: Axes, ticks: int) -> None:
    """At most `ticks` whole numbers on the x axis, thousands as `k` where they grow long."""
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True))
    if axes.get_xlim()[1] >= 10_000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def percent(axes: Axes, which: str, limits: Sequence[float]) -> None:
    """Show accuracies as percentages on axis `which` (`x` | `y`), never beyond 0 and 100 %."""
    low, high = max(0.0, limits[0]), min(1.0, limits[1])
    axes.set(**{f"{which}lim": (low, high)})
    # Steps of 2.5 % would be rounded to labels that are not where they stand.
    getattr(axes, f"{which}axis").set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
    decimals = 0 if high - low > 0.05 else 1 if high - low > 0.005 else 2
    getattr(axes, f"{which}axis").set_major_formatter(PercentFormatter(1, decimals=decimals))
