"""Section 4.1: meta-test accuracy of multi-task against the number of layers that classifier and discriminator share."""

from pathlib import Path

import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from megan.config.params import Style
from megan.report import captions, curves, style
from megan.report.inputs import read_table

NAME = "shared_layers"
REFERENCE = "maml_short"
VARIANTS = tuple(f"multi_task_{shared}" for shared in range(5))
PAPER = "The paper, section 4.1 (no figure): whatever was shared, multi-task was at best slightly below MAML."


def draw(tables: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, variants), out, NAME)


def build(tables: Path, variants: dict[str, Style]) -> Figure:
    """A point and its interval over seeds a number of shared layers, each seed as a dot, MAML as a band."""
    everything = captions.read(tables, variants)
    names = (REFERENCE, *VARIANTS)
    shown, title = curves.present(names, variants), "Layers shared by classifier and discriminator"
    if not shown:
        return curves.nothing(f"{title}, study {everything.study}", PAPER + curves.absent(names, variants))
    facts = captions.read(tables, shown)
    seeds = read_table(tables / "seeds.csv", ["variant", "seed", "accuracy"])
    with style.theme():
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        axes = figure.subplots()
        if REFERENCE in shown and facts.table.loc[REFERENCE, "seeds"]:
            _reference(axes, facts, shown[REFERENCE])
        for shared, name in enumerate(VARIANTS):
            if name in shown:
                _point(axes, facts, shared, name, shown[name].colour)
                own = seeds.loc[seeds["variant"] == name, "accuracy"]
                seaborn.scatterplot(
                    x=[shared + 0.12] * len(own),
                    y=own,
                    ax=axes,
                    s=18,
                    facecolor="white",
                    edgecolor=shown[name].colour,
                    linewidth=0.9,
                    legend=False,
                    gid=f"seeds/{name}",
                    zorder=4,
                )
        axes.set(
            xlim=(-0.5, 4.5),
            xlabel="Shared layers (0: two networks; 4: all but the heads)",
            ylabel="Meta-test accuracy",
        )
        axes.set_xticks(range(5), [_tick(shared, facts) for shared in range(5)])
        style.percent(axes, "y", axes.get_ylim() if facts.table["seeds"].any() else (0, 1))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8, frameon=False)
        caption = f"{PAPER} {curves.outcomes(tables, facts, shown)}{curves.absent(names, variants)} {_reading(facts)}{facts.short}"
        style.headings(figure, captions.title(facts, title), caption)
    return figure


def _reference(axes: Axes, facts: captions.Facts, own: Style) -> None:
    row = facts.table.loc[REFERENCE]
    axes.axhline(row["accuracy"], color=own.colour, linewidth=1.5, gid=f"mean/{REFERENCE}", label=own.label)
    if row["seeds"] > 1:
        axes.axhspan(
            row["accuracy"] - row["ci95_seeds"],
            row["accuracy"] + row["ci95_seeds"],
            color=own.colour,
            alpha=0.15,
            linewidth=0,
            gid=f"band/{REFERENCE}",
            label="its 95 % over seeds",
        )


def _point(axes: Axes, facts: captions.Facts, shared: int, name: str, colour: str) -> None:
    row = facts.table.loc[name]
    if not row["seeds"]:
        axes.text(
            shared,
            0.5,
            "every seed\ndiverged",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="center",
            fontsize=8,
            color=style.MUTED,
        )
        return
    if row["seeds"] > 1:
        axes.errorbar(
            shared,
            row["accuracy"],
            yerr=row["ci95_seeds"],
            elinewidth=1,
            capsize=3,
            fmt="none",
            ecolor=colour,
            zorder=2,
        )
    axes.plot(
        shared,
        row["accuracy"],
        marker="o",
        markersize=7,
        markeredgecolor="white",
        linestyle="",
        color=colour,
        gid=f"mean/{name}",
        zorder=4,
    )


def _tick(shared: int, facts: captions.Facts) -> str:
    name = VARIANTS[shared]
    if name not in facts.table.index:
        return f"{shared}\n(absent)"
    return facts.label(name, str(shared))


def _reading(facts: captions.Facts) -> str:
    text = "Filled: mean over seeds, diverged seeds left out; open: one seed."
    if (facts.table["seeds"] > 1).any():
        text += " Bars, band and +/-: 95 % over seeds, cut at the ends of the axis."
    if facts.single:
        text += " One finished seed gives no interval."
    return text + " The accuracy axis need not start at 0 %."
