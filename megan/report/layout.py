"""Layout of curves: one pair of axes for few variants, one panel for each of many variants."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from megan.config.params import Style
from megan.report import style
from megan.report.captions import Facts

TOGETHER = 8  # variants that one pair of axes can hold
_DOT = {"marker": "o", "markersize": 4, "markeredgewidth": 0}
REFERENCES = ("maml", "maml_short")  # the one of the same length is drawn in grey in each panel


@dataclass(frozen=True)
class Panel:
    """One pair of axes, its variants in colour, and a reference variant in grey."""

    axes: Axes
    variants: list[str]
    reference: str | None


def panels(variants: dict[str, Style], facts: Facts) -> tuple[Figure, list[Panel]]:
    """A figure with its panels. Several panels have titles."""
    if len(variants) <= TOGETHER:
        figure = Figure(figsize=(9, 4.2), layout="constrained")
        return figure, [Panel(figure.subplots(), list(variants), None)]
    columns = _columns(len(variants))
    rows = math.ceil(len(variants) / columns)
    figure = Figure(figsize=(2.5 * columns, 2.1 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    result = []
    for axes, (name, variant) in zip(grid, variants.items(), strict=False):
        title = style.wrapped(facts.label(name, variant.label), 32)
        axes.set_title(title, fontsize=8, loc="left", y=1)  # with y, matplotlib skips a slow search
        result.append(Panel(axes, [name], _reference(name, variants, facts)))
    for axes in grid[len(variants) :]:
        axes.remove()
    return figure, result


def _columns(count: int) -> int:
    """Number of panels in a row."""
    return min(5, math.ceil(math.sqrt(count)))


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
    axes.plot(mean.index, mean, color=colour, gid=gid, **line)
    if band and rows["seed"].nunique() > 1:
        axes.fill_between(mean.index, by_step.min(), by_step.max(), color=colour, alpha=0.22, linewidth=0)


def reference_line(panel: Panel, rows: pd.DataFrame, x: str) -> None:
    """Draw the reference of the panel: a dashed grey line without a band."""
    gid = f"reference/{panel.reference}"
    mean_line(panel.axes, rows, x, gid, style.MUTED, band=False, linewidth=1.2, linestyle="--")


def finish(
    panels: list[Panel], variants: dict[str, Style], facts: Facts, extra: list[Line2D], labels: tuple[str, str]
) -> None:
    """Set axis `labels` (x, y) and percentages. A single panel gets a legend of the variants and `extra`.

    Several panels have equal y limits. Their titles name the variants; the caption explains the grey line
    (`behind`).
    """
    limits = [panel.axes.dataLim for panel in panels if panel.axes.has_data()]
    low, high = (min(box.y0 for box in limits), max(box.y1 for box in limits)) if limits else (0.0, 1.0)
    pad = 0.03 * max(high - low, 0.02)
    for panel in panels:
        style.percent(panel.axes, "y", (low - pad, high + pad))
        panel.axes.tick_params(labelsize=8)
        style.whole_numbers(panel.axes, 9 if len(panels) == 1 else 5)
    if len(panels) == 1:
        panels[0].axes.set(xlabel=labels[0], ylabel=labels[1])
        _legend(panels[0].axes, variants, facts, extra)
        return
    columns = _columns(len(panels))
    for index, panel in enumerate(panels):
        if index % columns == 0:
            panel.axes.set_ylabel(labels[1], fontsize=8)
        else:
            panel.axes.tick_params(labelleft=False)
        if index >= len(panels) - columns:
            panel.axes.set_xlabel(labels[0], fontsize=8)


def _legend(axes: Axes, variants: dict[str, Style], facts: Facts, extra: list[Line2D]) -> None:
    """A legend to the right of the axes. The figure grows if the legend is taller than the axes."""
    markers = style.markers(variants)
    handles = []
    for name, variant in variants.items():
        label = style.wrapped(facts.label(name, variant.label), 32)
        handles.append(Line2D([], [], color=variant.colour, linewidth=2, marker=markers[name], label=label))
    lines = sum(str(handle.get_label()).count("\n") + 1 for handle in handles + extra)
    figure = axes.get_figure(root=True)
    if figure:
        height = 1.2 + 0.15 * lines + 0.09 * len(handles + extra)
        figure.set_figheight(max(figure.get_figheight(), height))
    axes.legend(
        handles=handles + extra,
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        fontsize=8,
        frameon=False,
        labelspacing=0.8,
        borderaxespad=0,
    )


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
