"""Meta-test accuracy of each variant, with intervals over tasks and over seeds, and a dot for each seed."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from megan.config.params import Style
from megan.report import captions, layout, picture, style
from megan.report.inputs import read_table
from megan.report.picture import Picture

REFERENCES = ("maml", "maml_short")  # dashed lines at their means help to compare other variants of the tier
GREY = "#555555"  # of the legend
_BELOW = 0.75  # in lines of the label: vertical offset of the dots of single seeds


@dataclass(frozen=True)
class _Group:
    """The variants of one tier. They have the same training length, so they can be compared."""

    tier: str
    names: list[str]
    facts: captions.Facts
    labels: list[str]

    @property
    def heights(self) -> list[float]:
        """Height of each row, in lines of its label."""
        return [max(2, label.count("\n") + 1) + 0.4 for label in self.labels]


def build(tables: Path, styles: dict[str, Style]) -> Picture:
    """One row for each variant, one panel for each tier. Points, not bars, as the axis does not start at 0."""
    seeds = read_table(tables / "seeds.csv", ["variant", "seed", "accuracy"])
    drawn = layout.comparable(styles, captions.read(tables, styles))
    smoke = layout.left_out(own for name, own in styles.items() if name not in drawn)
    styles, facts = drawn, captions.read(tables, drawn)
    groups = _groups(tables, styles, facts)
    heights = [sum(group.heights) for group in groups]
    with style.theme():
        figure = Figure(figsize=(style.PAGE, 0.75 + 0.3 * len(groups) + 0.1 * sum(heights)), layout="constrained")
        stacked = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for axes, group in zip(stacked, groups, strict=True):
            _panel(axes, group, seeds, styles)
        stacked[-1].set_xlabel("Meta-test accuracy")
        style.percent(stacked[-1], "x", stacked[-1].get_xlim() if facts.table["seeds"].any() else (0, 1))
        _legend(figure, facts)
        subject, several = "Meta-test accuracy", len(groups) > 1
        title = f"{subject}, {facts.where}" if several else captions.title(facts, subject)
        return picture.described(
            figure,
            f"{title}, {facts.tasks_a_seed} tasks per seed",
            _caption(facts, several) + smoke,
            f"Dot plot of the meta-test accuracy, with intervals, of {captions.listed(styles)}.",
        )


def _groups(tables: Path, styles: dict[str, Style], facts: captions.Facts) -> list[_Group]:
    groups = []
    for tier in facts.table["tier"].unique():  # in the order of params.yaml
        names = [name for name in styles if facts.table.loc[name, "tier"] == tier]
        own = captions.read(tables, {name: styles[name] for name in names})
        labels = [
            "\n".join(filter(None, [style.wrapped(styles[name].label, 42), style.wrapped(own.notes[name], 42)]))
            for name in names
        ]
        groups.append(_Group(tier, names, own, labels))
    return groups


def _panel(axes: Axes, group: _Group, seeds: pd.DataFrame, styles: dict[str, Style]) -> None:
    table, heights = group.facts.table, group.heights
    rows = [sum(heights[:position]) + height / 2 for position, height in enumerate(heights)]
    for name in REFERENCES:
        if name in group.names and table.loc[name, "seeds"]:
            look: style.Look = {"color": style.MUTED, "linestyle": "--", "linewidth": 1, "zorder": 1}
            axes.axvline(table.loc[name, "accuracy"], gid=f"reference/{name}", **look)
    for row, name in zip(rows, group.names, strict=True):
        if table.loc[name, "seeds"]:
            own = seeds.loc[seeds["variant"] == name, "accuracy"]
            _row(axes, row, table.loc[name], own, styles[name].colour)
        else:
            _lost(axes, row)
    axes.set_yticks(rows, group.labels, fontsize=style.TINY)
    axes.set(ylim=(sum(heights), 0))
    axes.grid(axis="y", visible=False)
    axes.set_title(f"{group.tier.capitalize()}: {group.facts.shared}", fontsize=style.SMALL, loc="left")


def _row(axes: Axes, row: float, numbers: pd.Series, seeds: pd.Series, colour: str) -> None:
    """One variant: the mean with both intervals, and below it the seeds."""
    name, mean = numbers.name, numbers["accuracy"]
    if numbers["seeds"] > 1:
        over_seeds: style.Look = {"elinewidth": 1, "capsize": 3, "ecolor": colour, "zorder": 2}
        axes.errorbar(mean, row, xerr=numbers["ci95_seeds"], fmt="none", **over_seeds)
    over_tasks: style.Look = {"elinewidth": 4, "alpha": 0.45, "ecolor": colour, "zorder": 3}
    axes.errorbar(mean, row, xerr=numbers["ci95_tasks"], fmt="none", **over_tasks)
    dot: style.Look = {
        "marker": "o",
        "markersize": 5,
        "markeredgecolor": "white",
        "linestyle": "",
        "color": colour,
        "zorder": 4,
    }
    axes.plot(mean, row, gid=f"mean/{name}", **dot)
    if len(seeds) < 2:
        return  # the dot of the mean is the seed
    circle: style.Look = {"s": 9, "facecolor": "white", "edgecolor": colour, "linewidth": 0.9, "zorder": 4}
    axes.scatter(seeds, [row + _BELOW] * len(seeds), gid=f"seeds/{name}", **circle)


def _lost(axes: Axes, row: float) -> None:
    look: style.Look = {
        "fontsize": style.TINY,
        "color": style.MUTED,
        "bbox": {"facecolor": "white", "edgecolor": "none"},
    }
    place: style.Look = {"ha": "center", "va": "center", "transform": axes.get_yaxis_transform()}
    axes.text(0.5, row, "every seed diverged", **place, **look)


def _legend(figure: Figure, facts: captions.Facts) -> None:
    """A legend above the panels."""
    handles = [
        Line2D([], [], color=GREY, marker="o", linestyle="", label="mean"),
        Line2D([], [], color=GREY, linewidth=4, alpha=0.45, label="95 % over tasks"),
    ]
    if (facts.table["seeds"] > 1).any():
        hollow: style.Look = {"markerfacecolor": "white", "markersize": 3.5, "linestyle": ""}
        handles.insert(1, Line2D([], [], color=GREY, marker="o", label="one seed", **hollow))
        handles.append(Line2D([], [], color=GREY, linewidth=1, marker="|", label="95 % over seeds"))
    if any(name in facts.table.index and facts.table.loc[name, "seeds"] for name in REFERENCES):
        handles.append(Line2D([], [], color=style.MUTED, linestyle="--", linewidth=1, label="MAML of its tier"))
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), columnspacing=1.2, frameon=False)


def _caption(facts: captions.Facts, several: bool) -> str:
    text = "The interval over tasks is a normal interval for these trained networks."
    if (facts.table["seeds"] > 1).any():
        text += (
            " The interval over seeds is Student's t interval of the means of the seeds, cut at the ends of the axis."
            " The file tables/comparisons.csv has the differences to MAML, paired by seed and task. Do not compare runs"
            " of unequal length."
        )
    if facts.single:
        text += " A variant with one finished seed has no interval over seeds."
    if several:
        text += " Compare variants within a tier only, since tiers differ in length."
    return f"{text} {captions.AXIS}{facts.short}"
