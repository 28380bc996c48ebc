"""Validation accuracy against meta-steps: the lines that several figures share, and figures of a few named variants."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from megan.config.params import Style
from megan.report import captions, layout, style
from megan.report.inputs import read_table
from megan.report.statistics import seed_interval

COLUMNS = ["variant", "seed", "meta_step", "split", "accuracy"]
REFERENCE = "maml"


def present(names: Sequence[str], variants: dict[str, Style]) -> dict[str, Style]:
    """Those of `names` that this study has, in their order."""
    return {name: variants[name] for name in names if name in variants}


def absent(names: Sequence[str], variants: dict[str, Style]) -> str:
    """The caption's words for those it has not, else ""."""
    missing = [name for name in names if name not in variants]
    return f" Absent here: {', '.join(missing)}." if missing else ""


def finished(curves: pd.DataFrame, facts: captions.Facts, name: str, split: str) -> pd.DataFrame:
    lost = facts.diverged.loc[facts.diverged["variant"] == name, "seed"]
    return curves[(curves["variant"] == name) & (curves["split"] == split) & ~curves["seed"].isin(lost)]


def validation(
    axes: Axes, curves: pd.DataFrame, facts: captions.Facts, name: str, colour: str, marker: str = ""
) -> None:
    """A thick line with a band from the lowest to the highest seed, and every seed that diverged."""
    layout.mean_line(
        axes, finished(curves, facts, name, "validation"), "meta_step", f"validation/{name}", colour, linewidth=2,
        marker=marker or None, markersize=4, markeredgewidth=0,
    )  # fmt: skip
    for broken in facts.diverged[facts.diverged["variant"] == name].itertuples():
        own = curves[(curves["variant"] == name) & (curves["seed"] == broken.seed)]
        _diverged(axes, own, broken.meta_step, colour, f"diverged/{name}/{broken.seed}")


def diverged_key() -> Line2D:
    return Line2D(
        [], [], color="#444444", linestyle=":", linewidth=1, marker="X", markeredgewidth=0, label="a seed diverges"
    )


def compared(tables: Path, variants: dict[str, Style], names: Sequence[str], subject: str, paper: str) -> Figure:
    """One pair of axes with the validation curves of `names`; the caption sets the paper's figure beside our numbers.

    `paper`: what the paper's figure showed, a sentence. Variants that the study lacks are named.
    """
    shown = present(names, variants)
    facts = captions.read(tables, variants)  # all of them, so that a table that lacks one is refused
    curves = read_table(tables / "curves.csv", COLUMNS)
    if not shown:
        return nothing(f"{subject}, study {facts.study}", paper + absent(names, variants))
    facts = captions.read(tables, shown)
    with style.theme():
        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.subplots()
        markers = style.markers(shown)
        for name, own in shown.items():
            validation(axes, curves, facts, name, own.colour, markers[name])
        axes.set_xlim(0, facts.table["meta_steps"].max() * 1.02)
        extra = [diverged_key()] if len(facts.diverged) else []
        layout.finish([layout.Panel(axes, list(shown), None)], shown, facts, extra, "Meta-steps")
        ours = outcomes(tables, facts, shown)
        style.headings(
            figure,
            captions.title(facts, subject),
            f"{paper} {ours}{absent(names, variants)} {_reading(facts)}{facts.short}",
        )
    return figure


def outcomes(tables: Path, facts: captions.Facts, shown: dict[str, Style]) -> str:
    """Our meta-test accuracies in words, each with its paired difference to the first of `shown`.

    The difference is over seeds that both finished, with a 95 % interval over seeds where there are two.
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
            text += _difference(
                (wide[name] - wide[reference]).dropna(), row["meta_steps"] == facts.table.loc[reference, "meta_steps"]
            )
        words.append(text)
    return f"Ours, meta-test accuracy (difference to {shown[reference].label}): {'; '.join(words)}."


def nothing(title: str, caption: str) -> Figure:
    """A figure that says that the study has none of its variants."""
    with style.theme():
        figure = Figure(figsize=(9, 3), layout="constrained")
        axes = figure.subplots()
        axes.set_axis_off()
        axes.text(
            0.5,
            0.5,
            "no variant of this figure is in the study",
            ha="center",
            va="center",
            color=style.MUTED,
            transform=axes.transAxes,
        )
        style.headings(figure, title, caption)
    return figure


def _difference(differences: pd.Series, fair: bool) -> str:
    if not fair:
        return " (of another length)"
    if differences.empty:
        return " (no seed in common)"
    half = seed_interval(differences)
    interval = f" +/- {100 * half:.1f} points" if len(differences) > 1 else " points, one seed"
    return f" ({100 * differences.mean():+.1f}{interval})"


def _reading(facts: captions.Facts) -> str:
    text = "Lines: validation accuracy, mean over seeds, diverged seeds left out."
    if len(facts.diverged):
        text += " Dotted, with a cross: a seed that diverges there."
    if (facts.table["seeds"] > 1).any():
        text += " Band: lowest to highest seed. +/-: 95 % over seeds."
    if facts.single:
        text += " A variant with one finished seed has no band."
    return text + " The accuracy axis need not start at 0."


def _diverged(axes: Axes, own: pd.DataFrame, meta_step: int, colour: str, gid: str) -> None:
    """The seed's own curve, dotted, with a cross at the meta-step that broke it, at its last known height."""
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
