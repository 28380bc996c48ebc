"""Meta-test accuracy of each variant, with the interval over tasks, the one over seeds, and every seed."""

from pathlib import Path

import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from megan.params import Style
from megan.report import captions, style
from megan.report.inputs import read_table

NAME = "accuracy"
REFERENCE = "maml"  # its mean goes on as a dashed line, to compare the others with
_BELOW = 0.75  # lines of label: how far the dots of single seeds stand below the mean


def draw(tables: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, variants), out, NAME)


def build(tables: Path, variants: dict[str, Style]) -> Figure:
    """A row a variant. Points, not bars, as the axis does not start at 0."""
    seeds = read_table(tables / "seeds.csv", ["variant", "seed", "accuracy"])
    facts = captions.read(tables, variants)
    names = list(variants)
    labels = [
        "\n".join(filter(None, [style.wrapped(variants[name].label, 42), style.wrapped(facts.notes[name], 42)]))
        for name in names
    ]
    heights = [max(2, label.count("\n") + 1) + 0.7 for label in labels]  # of each row, in lines of its label
    rows = [sum(heights[:position]) + height / 2 for position, height in enumerate(heights)]
    reference = variants[REFERENCE].label if REFERENCE in variants and facts.table.loc[REFERENCE, "seeds"] else None
    with style.theme():
        figure = Figure(figsize=(9, 1.6 + 0.14 * sum(heights)), layout="constrained")
        axes = figure.subplots()
        if reference:
            axes.axvline(facts.table.loc[REFERENCE, "accuracy"], color=style.MUTED, linestyle="--", linewidth=1, zorder=1, gid="reference")
        for row, name in zip(rows, names):
            colour, numbers = variants[name].colour, facts.table.loc[name]
            if not numbers["seeds"]:
                axes.text(0.5, row, "every seed diverged", transform=axes.get_yaxis_transform(), ha="center", va="center", fontsize=8, color=style.MUTED, bbox={"facecolor": "white", "edgecolor": "none"})
                continue
            point = {"color": colour, "zorder": 4}
            if numbers["seeds"] > 1:
                axes.errorbar(numbers["accuracy"], row, xerr=numbers["ci95_seeds"], elinewidth=1, capsize=3, fmt="none", ecolor=colour, zorder=2)
            axes.errorbar(numbers["accuracy"], row, xerr=numbers["ci95_tasks"], elinewidth=4, alpha=0.45, fmt="none", ecolor=colour, zorder=3)
            axes.plot(numbers["accuracy"], row, marker="o", markersize=6, markeredgecolor="white", linestyle="", gid=f"mean/{name}", **point)
            own = seeds.loc[seeds["variant"] == name, "accuracy"]
            seaborn.scatterplot(x=own, y=[row + _BELOW] * len(own), ax=axes, s=16, facecolor="white", edgecolor=colour, linewidth=0.9, legend=False, gid=f"seeds/{name}", zorder=4)
        axes.set_yticks(rows, labels, fontsize=8)
        axes.set(ylim=(sum(heights), 0), ylabel="", xlabel="Meta-test accuracy")
        axes.grid(axis="y", visible=False)
        style.percent(axes, "x", axes.get_xlim() if facts.table["seeds"].any() else (0, 1))
        _legend(axes, facts, reference)
        tasks = f"{facts.tasks_a_seed:,} tasks a seed"
        style.headings(figure, f"{captions.title(facts, 'Meta-test accuracy')}, {tasks}", _caption(facts))
    return figure


def _legend(axes: Axes, facts: captions.Facts, reference: str | None) -> None:
    grey = "#555555"
    handles = [
        Line2D([], [], color=grey, marker="o", linestyle="", label="mean"),
        Line2D([], [], color=grey, marker="o", markerfacecolor="white", markersize=4, linestyle="", label="one seed"),
        Line2D([], [], color=grey, linewidth=4, alpha=0.45, label="95 % over tasks"),
    ]
    if (facts.table["seeds"] > 1).any():
        handles.append(Line2D([], [], color=grey, linewidth=1, marker="|", label="95 % over seeds"))
    if reference:
        handles.append(Line2D([], [], color=style.MUTED, linestyle="--", linewidth=1, label=f"mean of {style.wrapped(reference, 24)}"))
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(handles), fontsize=8, frameon=False, columnspacing=1.5)


def _caption(facts: captions.Facts) -> str:
    text = "Over tasks: normal interval, these trained networks held fixed."
    if (facts.table["seeds"] > 1).any():
        text += " Over seeds: Student's t interval of the per-seed means, cut at the ends of the axis; compare variants by the paired differences of comparisons.csv."
    if facts.single:
        text += " One finished seed gives no interval over seeds."
    return text + " The axis need not start at 0 %."
