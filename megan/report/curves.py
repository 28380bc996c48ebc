"""Validation accuracy against meta-steps: the curves of several figures, and figures that compare a few variants."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from megan.config.params import Style
from megan.report import captions, layout, paper_curves, picture, style
from megan.report.figures.entry import Comparison
from megan.report.inputs import read_table
from megan.report.picture import Picture
from megan.report.statistics import seed_interval

START = 0.1  # share of training that may lie below the axis
WHAT = "Lines show the accuracy on validation tasks, averaged over seeds."
MARKERS = ("+", "1", "2", "3", "4", "|")  # of curves of the paper that belong to no variant
KEPT = "Open squares are meta-test accuracies of weights kept during training, bars the range of seeds."
COLUMNS = ["variant", "seed", "meta_step", "split", "accuracy"]


def present(names: Sequence[str], styles: dict[str, Style]) -> dict[str, Style]:
    """The variants of `names` that this study has, in the same order."""
    return {name: styles[name] for name in names if name in styles}


def absent(names: Sequence[str], styles: dict[str, Style]) -> str:
    """A sentence of the caption on variants that the study does not have, or has not run yet, else ""."""
    missing = [name for name in names if name not in styles]
    return f" No result in this study: {', '.join(missing)}." if missing else ""


def finished(curves: pd.DataFrame, facts: captions.Facts, name: str, split: str) -> pd.DataFrame:
    lost = facts.diverged.loc[facts.diverged["variant"] == name, "seed"]
    return curves[(curves["variant"] == name) & (curves["split"] == split) & ~curves["seed"].isin(lost)]


def validation(axes: Axes, curves: pd.DataFrame, facts: captions.Facts, name: str, colour: str, **look: Any) -> None:
    """A thick line with a band from the lowest to the highest seed, and each diverged seed."""
    layout.mean_line(
        axes, finished(curves, facts, name, "validation"), "meta_step", f"validation/{name}", colour, linewidth=1.5,
        **look,
    )  # fmt: skip
    for broken in facts.diverged[facts.diverged["variant"] == name].itertuples():
        own = curves[(curves["variant"] == name) & (curves["seed"] == broken.seed)]
        _diverged(axes, own, broken.meta_step, colour, f"diverged/{name}/{broken.seed}")


def diverged_key() -> Line2D:
    return Line2D(
        [], [], color="#444444", linestyle=":", linewidth=1, marker="X", markeredgewidth=0, label="a seed diverges"
    )


def compared(tables: Path, styles: dict[str, Style], row: Comparison) -> Picture:
    """One pair of axes with the validation curves of the row's variants.

    The caption describes the paper's figure, gives our numbers, and names the variants that the study lacks.
    """
    found = present(row.variants, styles)
    facts = captions.read(tables, styles)  # all variants, so that a table without one of them is refused
    curves = read_table(tables / "curves.csv", COLUMNS)
    if not found:
        return nothing(f"{row.subject}, {facts.where}", row.paper + absent(row.variants, styles))
    shown = layout.comparable(found, facts)
    smoke = layout.left_out(own for name, own in found.items() if name not in shown)
    facts = captions.read(tables, shown)
    with style.theme():
        figure, axes = layout.single()
        looks = style.looks(shown)
        for name, own in shown.items():
            validation(axes, curves, facts, name, own.colour, **looks[name])
        end = facts.table["meta_steps"].max()
        kept = _kept(axes, tables, facts, shown)
        read_off, unmatched = _paper(axes, row.figure, shown, facts)
        axes.set_xlim(0, end * 1.02)
        extra = [diverged_key()] if len(facts.diverged) else []
        extra += [*kept, *read_off, *unmatched]
        layout.finish(figure, [axes], ("Meta-steps", "Validation accuracy"), START)
        layout.legend(figure, shown, facts, extra)
        ours = outcomes(tables, facts, shown)
        told = f" {KEPT}" if kept else ""
        told += f" {paper_curves.READ_OFF}" if read_off or unmatched else ""
        told += paper_curves.UNMATCHED if unmatched else ""
        return picture.described(
            figure,
            captions.title(facts, row.subject),
            f"{row.paper} {ours}{absent(row.variants, styles)}{smoke}{told} {reading(facts)}{facts.short}",
            f"Line chart of validation accuracy against meta-steps for {captions.listed(shown)}.",
        )


def _kept(axes: Axes, tables: Path, facts: captions.Facts, shown: dict[str, Style]) -> list[Line2D]:
    """Meta-test accuracies of weights that training kept: an open square for the mean, a bar for the range of seeds.

    Returns the key in the legend, if there are any.
    """
    columns = ["variant", "seed", "meta_step", "accuracy"]
    table = read_table(tables / "snapshots.csv", columns).assign(split="kept")
    look: style.Look = {"linestyle": "", "marker": "s", "markersize": 4, "markerfacecolor": "white"}
    drawn = False
    for name, own in shown.items():
        by_step = finished(table, facts, name, "kept").dropna(subset=["accuracy"]).groupby("meta_step")["accuracy"]
        if by_step.ngroups:
            mean, drawn = by_step.mean(), True
            axes.vlines(mean.index, by_step.min(), by_step.max(), color=own.colour, linewidth=0.8, zorder=3)
            axes.plot(mean.index, mean, color=own.colour, gid=f"kept/{name}", zorder=4, **look)
    return [Line2D([], [], color="#444444", label="meta-test of kept weights", **look)] if drawn else []


def _paper(
    axes: Axes, figure: int, shown: dict[str, Style], facts: captions.Facts
) -> tuple[list[Line2D], list[Line2D]]:
    """All curves of the paper's figure up to the end of our training, and their keys in the legend.

    They are drawn at our meta-steps with as many training tasks.

    Those of the variants `shown` have their colour and one key; the others, returned second, are grey with a key each.
    """
    look: style.Look = {"linestyle": ":", "linewidth": 0.8, "markersize": 3.5, "alpha": 0.9}
    keys: list[Line2D] = []
    others: list[Line2D] = []
    for curve, points in paper_curves.of(figure).items():
        points = points.assign(at=paper_curves.as_ours(points["meta_step"], facts.meta_batch))
        points = points[points["at"] <= facts.table["meta_steps"].max()]
        if len(points) < 2:
            continue
        name = paper_curves.owner(points, list(shown))
        own: style.Look = {"color": shown[name].colour if name else style.MUTED, "marker": "x"}
        if name:
            keys = [Line2D([], [], color="#444444", marker="x", label=f"the paper's Fig. {figure}, read off", **look)]
        else:
            own["marker"] = MARKERS[len(others) % len(MARKERS)]
            others.append(Line2D([], [], label=f"Fig. {figure}, {curve}", **look, **own))
        axes.plot(points["at"], points["accuracy"], gid=f"paper/{name or curve}", **look, **own)
    return keys, others


def outcomes(tables: Path, facts: captions.Facts, shown: dict[str, Style]) -> str:
    """Our meta-test accuracies as text, each with its paired difference to the first of `shown`.

    The difference is over seeds that both finished. With two or more seeds it has a 95 % interval over seeds.
    """
    seeds = read_table(tables / "seeds.csv", ["variant", "seed", "accuracy"])
    wide = seeds.pivot(index="seed", columns="variant", values="accuracy")
    reference = next(iter(shown))
    words = []
    for name, own in shown.items():
        row = facts.table.loc[name]
        if not row["seeds"]:
            words.append(f"{own.label}: every seed diverged")
            continue
        text = f"{own.label} {row['accuracy']:.1%}"
        if name != reference and facts.table.loc[reference, "seeds"]:
            alike = row["meta_steps"] == facts.table.loc[reference, "meta_steps"]
            text += _difference((wide[name] - wide[reference]).dropna(), alike)
        words.append(text)
    return f"Our meta-test accuracies (difference to {shown[reference].label}): {'; '.join(words)}."


def nothing(title: str, caption: str) -> Picture:
    """An empty figure with the text that the study has no result of its variants."""
    with style.theme():
        figure = Figure(figsize=(style.COLUMN, 0.6), layout="constrained")
        axes = figure.subplots()
        axes.set_axis_off()
        words = "no variant of this figure has a result"
        axes.text(0.5, 0.5, words, ha="center", va="center", color=style.MUTED, transform=axes.transAxes)
        return picture.described(figure, title, caption, f"{picture.EMPTY}: the study has no result of its variants.")


def _difference(differences: pd.Series, alike: bool) -> str:
    if not alike:
        return " (not compared: different number of meta-steps)"
    if differences.empty:
        return " (not compared: no seed in common)"
    half = seed_interval(differences)
    interval = f" +/- {100 * half:.1f} points" if len(differences) > 1 else " points, one seed"
    return f" ({100 * differences.mean():+.1f}{interval})"


def reading(facts: captions.Facts) -> str:
    """How to read curves: sentences of the caption."""
    text = "Means are over the seeds that did not diverge. The first tenth of training may lie below the axis."
    if (facts.table["seeds"] > 1).any():
        text += f" {captions.BAND} +/- gives the 95 % interval over seeds."
    if facts.single:
        text += f" {captions.NO_BAND}"
    if len(facts.diverged):
        text += f" {captions.CROSS}"
    return f"{text} {captions.AXIS}"


def _diverged(axes: Axes, own: pd.DataFrame, meta_step: int, colour: str, gid: str) -> None:
    """The dotted curve of a seed, with a cross at the meta-step where it diverged, at its last known accuracy."""
    known = own[own["accuracy"].notna() & (own["meta_step"] <= meta_step)]
    if (known["split"] == "validation").any():
        known = known[known["split"] == "validation"]
    known = known.sort_values("meta_step")
    height = known["accuracy"].iloc[-1] if len(known) else 0.0
    steps, heights = [*known["meta_step"], meta_step], [*known["accuracy"], height]
    axes.plot(
        steps, heights, color=colour, linestyle=":", linewidth=1, marker="X", markevery=[-1],
        markersize=7, markeredgecolor="white", markeredgewidth=0.6, zorder=5, gid=gid, clip_on=False,
    )  # fmt: skip
