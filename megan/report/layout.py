"""Curves of many variants: one pair of axes while they can be told apart, else a panel each."""

import math
from dataclasses import dataclass

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from megan.config.params import Style
from megan.report import style
from megan.report.captions import Facts

TOGETHER = 8  # variants that one pair of axes can hold
REFERENCES = ("maml", "maml_short")  # the one of the same length is repeated in grey behind each panel


@dataclass(frozen=True)
class Panel:
    """One pair of axes, the variants in colour on it, and the one in grey behind them."""

    axes: Axes
    variants: list[str]
    reference: str | None


def panels(variants: dict[str, Style], facts: Facts) -> tuple[Figure, list[Panel]]:
    """A figure with its panels, titled when there are several. Panels share the y axis."""
    if len(variants) <= TOGETHER:
        figure = Figure(figsize=(9, 5), layout="constrained")
        return figure, [Panel(figure.subplots(), list(variants), None)]
    columns = min(5, math.ceil(math.sqrt(len(variants))))
    rows = math.ceil(len(variants) / columns)
    figure = Figure(figsize=(2.5 * columns, 2.1 * rows + 0.8), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    result = []
    for axes, (name, variant) in zip(grid, variants.items()):
        axes.set_title(style.wrapped(facts.label(name, variant.label), 32), fontsize=8, loc="left")
        result.append(Panel(axes, [name], _reference(name, variants, facts)))
    for axes in grid[len(variants) :]:
        axes.remove()
    return figure, result


def mean_line(axes: Axes, rows: pd.DataFrame, x: str, gid: str, colour: str, band: bool = True, **line: object) -> None:
    """The mean of `accuracy` over seeds against column `x`, banded from the lowest to the highest seed.

    A single seed has no band. `gid` names the line, in the SVG too.
    """
    if rows.empty:
        return
    if rows[x].nunique() == 1:  # of one point, as in a very short run, a line shows nothing
        line = {
            "marker": "o",
            "markersize": 4,
            "markeredgewidth": 0,
            **{key: value for key, value in line.items() if value},
        }
    spread = ("pi", 100) if band and rows["seed"].nunique() > 1 else None
    seaborn.lineplot(
        rows,
        x=x,
        y="accuracy",
        errorbar=spread,
        color=colour,
        ax=axes,
        legend=False,
        gid=gid,
        err_kws={"alpha": 0.22, "linewidth": 0},
        **line,
    )


def finish(panels: list[Panel], variants: dict[str, Style], facts: Facts, extra: list[Line2D], x: str) -> None:
    """Axis labels, percentages, and beside a single panel a legend of the variants and `extra`.

    Several panels carry their variants' names; the caption explains the rest (`behind`).
    """
    limits = [panel.axes.dataLim for panel in panels if panel.axes.has_data()]
    low, high = (min(box.y0 for box in limits), max(box.y1 for box in limits)) if limits else (0.0, 1.0)
    pad = 0.03 * max(high - low, 0.02)
    for panel in panels:
        panel.axes.set(xlabel="", ylabel="")
        style.percent(panel.axes, "y", (low - pad, high + pad))
        panel.axes.tick_params(labelsize=8)
        style.whole_numbers(panel.axes, 9 if len(panels) == 1 else 5)
    if len(panels) == 1:
        panels[0].axes.set(xlabel=x, ylabel="Validation accuracy")
        handles = [
            Line2D(
                [],
                [],
                color=variant.colour,
                linewidth=2,
                marker=style.markers(variants)[name],
                label=style.wrapped(facts.label(name, variant.label), 32),
            )
            for name, variant in variants.items()
        ]
        panels[0].axes.legend(
            handles=handles + extra,
            loc="upper left",
            bbox_to_anchor=(1.01, 1),
            fontsize=8,
            frameon=False,
            labelspacing=0.8,
            borderaxespad=0,
        )
        return
    columns = panels[0].axes.get_gridspec().ncols
    for index, panel in enumerate(panels):
        if index % columns == 0:
            panel.axes.set_ylabel("Validation accuracy", fontsize=8)
        if index >= len(panels) - columns:
            panel.axes.set_xlabel(x, fontsize=8)


def behind(panels: list[Panel], variants: dict[str, Style]) -> str:
    """The caption's words for the grey line, where there is one."""
    used = [name for name in REFERENCES if any(panel.reference == name for panel in panels)]
    return f" Grey, dashed: {' or '.join(variants[name].label for name in used)}." if used else ""


def _reference(name: str, variants: dict[str, Style], facts: Facts) -> str | None:
    """MAML of the variant's own length; of another, where there is none, rather than nothing."""
    known = [other for other in REFERENCES if other in variants]
    steps = facts.table["meta_steps"]
    alike = [other for other in known if steps[other] == steps[name]]
    return None if name in REFERENCES or not known else (alike or known)[0]
