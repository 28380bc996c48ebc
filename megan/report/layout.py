"""Layout of curves: one pair of axes for a few variants, or small multiples with one panel for each variant."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from megan.config.params import Style
from megan.report import style
from megan.report.captions import Facts

TOGETHER = 6  # variants whose lines can be told apart in one pair of axes
_COLUMNS = 4  # small multiples in a row, over two columns of a paper
_DOT = {"marker": "o", "markersize": 4, "markeredgewidth": 0}
_MARKS = 8  # markers of one line
_LINE = 44  # letters of a line of the legend below a figure of one column
REFERENCES = ("maml", "maml_short")  # the one of the same length is drawn in grey in each small multiple


@dataclass(frozen=True)
class Panel:
    """One pair of axes, its variants in colour, and a reference variant in grey."""

    axes: Axes
    variants: list[str]
    reference: str | None


@dataclass(frozen=True)
class Choice:
    """The variants of a study: the first to look at, the other ones, and runs of smoke length, which are not drawn."""

    first: dict[str, Style]
    others: dict[str, Style]
    smoke: dict[str, Style]

    @property
    def sentence(self) -> str:
        """For the caption: what was left out because its run was too short, or ""."""
        return left_out(self.smoke.values())


def chosen(styles: dict[str, Style], facts: Facts) -> Choice:
    """Smoke length: shorter than a verdict needs, while other variants of `styles` ran longer.

    The first are the longest runs; of more than `TOGETHER`, those of the tier `headline`.
    """
    drawn = comparable(styles, facts)
    steps = facts.table["meta_steps"]
    longest = max(steps[name] for name in drawn)
    first = [name for name in drawn if steps[name] == longest]
    if len(first) > TOGETHER:
        headline = [name for name in first if facts.table.loc[name, "tier"] == "headline"]
        first = (headline or first)[:TOGETHER]
    return Choice(
        {name: styles[name] for name in first},
        {name: own for name, own in drawn.items() if name not in first},
        {name: own for name, own in styles.items() if name not in drawn},
    )


def comparable(styles: dict[str, Style], facts: Facts) -> dict[str, Style]:
    """`styles` without runs of smoke length."""
    steps, short = facts.table["meta_steps"], facts.table["short"]
    longest = max(steps[name] for name in styles)
    return {name: own for name, own in styles.items() if not (short[name] and steps[name] < longest)}


def left_out(smoke: Iterable[Style]) -> str:
    labels = [own.label for own in smoke]
    told = "; ".join(labels) if len(labels) <= 4 else f"{len(labels)} variants"
    return f" Left out, because their runs only show that the code runs: {told}." if labels else ""


def single() -> tuple[Figure, Axes]:
    """One pair of axes, as wide as one column of a paper."""
    figure = Figure(figsize=(style.COLUMN, 2.3), layout="constrained")
    return figure, figure.subplots()


def multiples(variants: dict[str, Style], styles: dict[str, Style], facts: Facts) -> tuple[Figure, list[Panel]]:
    """One panel for each of `variants`, with shared axes. `facts` and `styles` include the references."""
    rows = math.ceil(len(variants) / _COLUMNS)
    figure = Figure(figsize=(style.PAGE, 1.35 * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
    result = []
    for axes, (name, variant) in zip(grid, variants.items(), strict=False):
        title = style.wrapped(facts.label(name, variant.label), 28)
        axes.set_title(title, fontsize=style.TINY, loc="left", y=1)  # with y, matplotlib skips a slow search
        result.append(Panel(axes, [name], _reference(name, styles, facts)))
    for axes in grid[len(variants) :]:
        axes.remove()
    for axes in grid[max(0, len(variants) - _COLUMNS) : len(variants)]:
        axes.tick_params(labelbottom=True)  # the row below may have no panel in this column
    return figure, result


def mean_line(axes: Axes, rows: pd.DataFrame, x: str, gid: str, colour: str, band: bool = True, **line: Any) -> None:
    """The mean of `accuracy` over seeds against column `x`, with a band from the lowest to the highest seed.

    A single seed has no band. `gid` names the line, in the SVG too.
    """
    by_step = rows.dropna(subset=[x, "accuracy"]).groupby(x)["accuracy"]
    mean = by_step.mean()
    if mean.empty:
        return
    if len(mean) == 1:  # a line through one point, as in a very short run, is invisible
        line = _DOT | {key: value for key, value in line.items() if value}
    elif line.get("marker"):
        line = {"markersize": 3.5, "markeredgewidth": 0, "markevery": max(1, len(mean) // _MARKS), **line}
    axes.plot(mean.index, mean, color=colour, gid=gid, **line)
    if band and rows["seed"].nunique() > 1:
        axes.fill_between(mean.index, by_step.min(), by_step.max(), color=colour, alpha=0.18, linewidth=0)


def reference_line(panel: Panel, rows: pd.DataFrame, x: str) -> None:
    """Draw the reference of the panel: a dashed grey line without a band."""
    gid = f"reference/{panel.reference}"
    mean_line(panel.axes, rows, x, gid, style.MUTED, band=False, linewidth=1, linestyle="--")


def finish(figure: Figure, axes: list[Axes], labels: tuple[str, str], start: float = 0.0) -> None:
    """Name both axes once for the whole figure, with percentages and equal limits in all of `axes`.

    The limits hold every curve from the share `start` of its length on. A steep start would hide later differences.
    """
    limits = [own.dataLim for own in axes if own.has_data()]
    low, high = (min(box.y0 for box in limits), max(box.y1 for box in limits)) if limits else (0.0, 1.0)
    low = min(_lowest(axes, start), high) if limits else low
    pad = 0.03 * max(high - low, 0.02)
    for own in axes:
        style.percent(own, "y", (low - pad, high + pad))
        style.whole_numbers(own, 6 if len(axes) == 1 else 4)
    if len(axes) == 1:
        axes[0].set(xlabel=labels[0], ylabel=labels[1])
    else:
        figure.supxlabel(labels[0], fontsize=style.SMALL)
        figure.supylabel(labels[1], fontsize=style.SMALL)


def _lowest(axes: list[Axes], start: float) -> float:
    curves = [np.asarray(line.get_xydata(), dtype=float) for own in axes for line in own.get_lines()]
    known = [curve for curve in curves if len(curve)]
    return min((curve[curve[:, 0] >= start * curve[-1, 0], 1].min() for curve in known), default=0.0)


def legend(figure: Figure, variants: dict[str, Style], facts: Facts, extra: list[Line2D]) -> None:
    """A legend below the axes, so that it covers nothing. The figure grows with it."""
    looks = style.looks(variants)
    handles = [
        Line2D(
            [], [], color=own.colour, linewidth=1.5, markersize=3.5, markeredgewidth=0,
            label=style.wrapped(facts.label(name, own.label).replace("\n", " "), _LINE), **looks[name],
        )
        for name, own in variants.items()
    ]  # fmt: skip
    labels = [str(handle.get_label()) for handle in handles + extra]
    columns = 2 if all(len(label) <= 20 for label in labels) else 1
    lines = sum(label.count("\n") + 1 for label in labels)
    figure.set_figheight(figure.get_figheight() + 0.1 + 0.16 * math.ceil(lines / columns))
    figure.legend(
        handles=handles + extra, loc="outside lower left", ncols=columns, frameon=False, handlelength=3.4,
        labelspacing=0.35, borderaxespad=0.2,
    )  # fmt: skip


def behind(panels: list[Panel], variants: dict[str, Style]) -> str:
    """A sentence of the caption on the grey line, if there is one."""
    used = [name for name in REFERENCES if any(panel.reference == name for panel in panels)]
    return f" The dashed grey line is {' or '.join(variants[name].label for name in used)}." if used else ""


def _reference(name: str, variants: dict[str, Style], facts: Facts) -> str | None:
    """MAML with the same training length as the variant, or else MAML with another length, if there is one."""
    known = [other for other in REFERENCES if other in variants]
    steps = facts.table["meta_steps"]
    alike = [other for other in known if steps[other] == steps[name]]
    return None if name in REFERENCES or not known else (alike or known)[0]
