"""Meta-test accuracy of each variant, with the interval over tasks, the one over seeds, and every seed."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from megan.config.params import Style
from megan.report import captions, style
from megan.report.inputs import read_table

NAME = "accuracy"
REFERENCES = ("maml", "maml_short")  # their means go on as dashed lines, to compare the others of their tier with
_BELOW = 0.75  # lines of label: how far the dots of single seeds stand below the mean


@dataclass(frozen=True)
class _Group:
    """The variants of one tier: equally long, so that they may be compared."""

    tier: str
    names: list[str]
    facts: captions.Facts
    labels: list[str]

    @property
    def heights(self) -> list[float]:
        """Of each row, in lines of its label."""
        return [max(2, label.count("\n") + 1) + 0.4 for label in self.labels]


def draw(tables: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, variants), out, NAME)


def build(tables: Path, variants: dict[str, Style]) -> Figure:
    """A row a variant, a panel a tier. Points, not bars, as the axis does not start at 0."""
    seeds = read_table(tables / "seeds.csv", ["variant", "seed", "accuracy"])
    facts = captions.read(tables, variants)
    groups = _groups(tables, variants, facts)
    with style.theme():
        total = sum(sum(group.heights) for group in groups)
        figure = Figure(figsize=(9, 1.6 + 0.4 * len(groups) + 0.135 * total), layout="constrained")
        stacked = figure.subplots(
            len(groups), 1, sharex=True, squeeze=False, height_ratios=[sum(group.heights) for group in groups]
        )[:, 0]
        for axes, group in zip(stacked, groups):
            _panel(axes, group, seeds, variants)
        stacked[-1].set_xlabel("Meta-test accuracy")
        style.percent(stacked[-1], "x", stacked[-1].get_xlim() if facts.table["seeds"].any() else (0, 1))
        _legend(stacked[0], facts)
        stacked[0].set_title(stacked[0].get_title(loc="left"), fontsize=9, loc="left", pad=22)
        title = (
            captions.title(facts, "Meta-test accuracy")
            if len(groups) == 1
            else f"Meta-test accuracy, study {facts.study}"
        )
        tasks = f"{facts.tasks_a_seed} tasks a seed"
        style.headings(figure, f"{title}, {tasks}", _caption(facts, len(groups) > 1))
    return figure


def _groups(tables: Path, variants: dict[str, Style], facts: captions.Facts) -> list[_Group]:
    groups = []
    for tier in facts.table["tier"].unique():  # in the order in which params.yaml first names them
        names = [name for name in variants if facts.table.loc[name, "tier"] == tier]
        own = captions.read(tables, {name: variants[name] for name in names})
        labels = [
            "\n".join(filter(None, [style.wrapped(variants[name].label, 42), style.wrapped(own.notes[name], 42)]))
            for name in names
        ]
        groups.append(_Group(tier, names, own, labels))
    return groups


def _panel(axes: Axes, group: _Group, seeds: pd.DataFrame, variants: dict[str, Style]) -> None:
    table = group.facts.table
    heights = group.heights
    rows = [sum(heights[:position]) + height / 2 for position, height in enumerate(heights)]
    for name in REFERENCES:
        if name in group.names and table.loc[name, "seeds"]:
            axes.axvline(
                table.loc[name, "accuracy"],
                color=style.MUTED,
                linestyle="--",
                linewidth=1,
                zorder=1,
                gid=f"reference/{name}",
            )
    for row, name in zip(rows, group.names):
        colour, numbers = variants[name].colour, table.loc[name]
        if not numbers["seeds"]:
            axes.text(
                0.5,
                row,
                "every seed diverged",
                transform=axes.get_yaxis_transform(),
                ha="center",
                va="center",
                fontsize=8,
                color=style.MUTED,
                bbox={"facecolor": "white", "edgecolor": "none"},
            )
            continue
        if numbers["seeds"] > 1:
            axes.errorbar(
                numbers["accuracy"],
                row,
                xerr=numbers["ci95_seeds"],
                elinewidth=1,
                capsize=3,
                fmt="none",
                ecolor=colour,
                zorder=2,
            )
        axes.errorbar(
            numbers["accuracy"],
            row,
            xerr=numbers["ci95_tasks"],
            elinewidth=4,
            alpha=0.45,
            fmt="none",
            ecolor=colour,
            zorder=3,
        )
        axes.plot(
            numbers["accuracy"],
            row,
            marker="o",
            markersize=6,
            markeredgecolor="white",
            linestyle="",
            color=colour,
            zorder=4,
            gid=f"mean/{name}",
        )
        own = seeds.loc[seeds["variant"] == name, "accuracy"]
        seaborn.scatterplot(
            x=own,
            y=[row + _BELOW] * len(own),
            ax=axes,
            s=16,
            facecolor="white",
            edgecolor=colour,
            linewidth=0.9,
            legend=False,
            gid=f"seeds/{name}",
            zorder=4,
        )
    axes.set_yticks(rows, group.labels, fontsize=8)
    axes.set(ylim=(sum(heights), 0), ylabel="", xlabel="")
    axes.grid(axis="y", visible=False)
    axes.set_title(f"{group.tier.capitalize()}: {group.facts.shared}", fontsize=9, loc="left")


def _legend(axes: Axes, facts: captions.Facts) -> None:
    grey = "#555555"
    handles = [
        Line2D([], [], color=grey, marker="o", linestyle="", label="mean"),
        Line2D([], [], color=grey, marker="o", markerfacecolor="white", markersize=4, linestyle="", label="one seed"),
        Line2D([], [], color=grey, linewidth=4, alpha=0.45, label="95 % over tasks"),
    ]
    if (facts.table["seeds"] > 1).any():
        handles.append(Line2D([], [], color=grey, linewidth=1, marker="|", label="95 % over seeds"))
    if any(name in facts.table.index and facts.table.loc[name, "seeds"] for name in REFERENCES):
        handles.append(Line2D([], [], color=style.MUTED, linestyle="--", linewidth=1, label="mean of MAML in its tier"))
    # Between the figure's title and the first panel's, which makes way for it.
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=len(handles),
        fontsize=8,
        frameon=False,
        columnspacing=1.5,
    )


def _caption(facts: captions.Facts, several: bool) -> str:
    text = "Over tasks: normal interval, these trained networks held fixed."
    if (facts.table["seeds"] > 1).any():
        text += " Over seeds: Student's t interval of the per-seed means, cut at the ends of the axis; differences paired by seed and task stand in tables/comparisons.csv; those of unequal meta-steps compare nothing but length."
    if facts.single:
        text += " One finished seed gives no interval over seeds."
    if several:
        text += " Compare within a tier alone: tiers differ in length."
    return f"{text} The axis need not start at 0 %.{facts.short}"
