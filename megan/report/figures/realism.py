"""Meta-test accuracy against the realism of the fakes (sections 3.4 and 5), and whether realism is mere copying."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from scipy import stats

from megan.config.params import Style
from megan.report import captions, curves, grids, style
from megan.report.inputs import read_table

NAME = "realism"
READS = ("tables", "samples")
FEWEST = 5  # variants that a rank correlation needs
PAPER = "The paper, sections 5.1.2 and 5.1.3 (no figure of this): without sharing, generators of more realistic fakes helped the classifier more; in N+1 noisy ones did less harm."


def draw(tables: Path, samples: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, samples, variants), out, NAME)


def build(tables: Path, samples: Path, variants: dict[str, Style]) -> Figure:
    """A row a tier: accuracy, and distance to the support image, each against KID; numbers name the variants."""
    facts = captions.read(tables, variants)
    rows = grids.realism(samples, variants, facts)
    accuracy = read_table(tables / "seeds.csv", ["variant", "seed", "accuracy"])[["variant", "seed", "accuracy"]]
    runs = (
        rows[rows["variant"] != grids.REAL].merge(accuracy, on=["variant", "seed"]).dropna(subset=["kid", "accuracy"])
    )
    if runs.empty:
        return curves.nothing(
            f"Realism and accuracy, study {facts.study}",
            f"{PAPER} Ours: no variant here has finished a seed with fakes.",
        )
    numbers = {
        name: position + 1 for position, name in enumerate(name for name in variants if name in set(runs["variant"]))
    }
    tiers = [tier for tier in facts.table["tier"].unique() if (facts.table.loc[list(numbers), "tier"] == tier).any()]
    with style.theme():
        figure = Figure(figsize=(10, max(1.8 + 3.2 * len(tiers), 1.6 + 0.17 * len(numbers))), layout="constrained")
        grid = figure.subplots(len(tiers), 2, squeeze=False)
        for pair, tier in zip(grid, tiers):
            names = [name for name in numbers if facts.table.loc[name, "tier"] == tier]
            own = captions.read(tables, {name: variants[name] for name in names})
            for axes, column in zip(pair, ("accuracy", "distance")):
                _panel(axes, runs, names, column, numbers, variants)
            _reals(pair, rows)
            for axes in pair:
                _scale(axes, runs.loc[runs["variant"].isin(names), "kid"])
            style.percent(pair[0], "y", pair[0].get_ylim())
            pair[0].set(ylabel="Meta-test accuracy")
            pair[1].set(ylabel="Distance to the support image")
            pair[0].set_title(f"{tier.capitalize()}: {own.shared}", fontsize=9, loc="left")
        for axes in grid[-1]:
            axes.set_xlabel("KID (left: more realistic)")
        _legend(figure, numbers, variants, facts, rows)
        caption = f"{PAPER} Ours: {_correlations(runs, facts, tiers)} {_reading(rows)} {grids.READING} {grids.judge(samples)}{facts.short}"
        style.headings(figure, f"Realism and accuracy, study {facts.study}", caption)
    return figure


def _panel(
    axes: Axes, runs: pd.DataFrame, names: list[str], column: str, numbers: dict[str, int], variants: dict[str, Style]
) -> None:
    for name in names:
        own, colour = runs[runs["variant"] == name], variants[name].colour
        if len(own) > 1:
            axes.plot(
                own["kid"],
                own[column],
                marker="o",
                markersize=3.5,
                markerfacecolor="white",
                markeredgecolor=colour,
                linestyle="",
                gid=f"seeds/{column}/{name}",
                zorder=2,
            )
        mean = own[["kid", column]].mean()
        axes.plot(
            *mean,
            marker="o",
            markersize=10,
            markeredgecolor="white",
            color=colour,
            linestyle="",
            clip_on=False,
            gid=f"mean/{column}/{name}",
            zorder=3,
        )
        axes.annotate(str(numbers[name]), mean, fontsize=6, ha="center", va="center", color=_ink(colour), zorder=4)


def _ink(colour: str) -> str:
    """Black or white, whichever can be read on `colour`."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 140 else "white"


def _reals(pair: np.ndarray, rows: pd.DataFrame) -> None:
    own = rows[rows["variant"] == grids.REAL]
    if own["kid"].notna().any():
        for axes in pair:
            axes.axvline(own["kid"].mean(), color=style.MUTED, linestyle="--", linewidth=1, zorder=1, gid="real/kid")
    if own["distance"].notna().any():
        pair[1].axhline(
            own["distance"].mean(), color=style.MUTED, linestyle=":", linewidth=1, zorder=1, gid="real/distance"
        )


def _scale(axes: Axes, kids: pd.Series) -> None:
    """Logarithmic but for the neighbourhood of 0, where one variant would squeeze all others together."""
    if kids.max() > 5 * max(kids.median(), 0):
        axes.set_xscale("symlog", linthresh=10.0 ** np.floor(np.log10(kids.max() / 100)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.margins(x=0.08)


def _legend(
    figure: Figure, numbers: dict[str, int], variants: dict[str, Style], facts: captions.Facts, rows: pd.DataFrame
) -> None:
    handles = []
    for name, number in numbers.items():
        note = (
            f" ({facts.notes[name].partition(', ')[2] or facts.notes[name]})" if "diverged" in facts.notes[name] else ""
        )
        handles.append(
            Line2D(
                [],
                [],
                color=variants[name].colour,
                marker="o",
                linestyle="",
                label=f"{number}  {variants[name].label}{note}",
            )
        )
    if (rows["variant"] == grids.REAL).any():
        handles.append(Line2D([], [], color=style.MUTED, linestyle="--", linewidth=1, label="KID of real drawings"))
        handles.append(Line2D([], [], color=style.MUTED, linestyle=":", linewidth=1, label="distance of real drawings"))
    figure.legend(handles=handles, loc="outside right upper", fontsize=7, frameon=False, labelspacing=0.35)


def _correlations(runs: pd.DataFrame, facts: captions.Facts, tiers: list[str]) -> str:
    means = runs.groupby("variant")[["kid", "accuracy"]].mean()
    words = []
    for tier in tiers:
        own = means[facts.table.loc[means.index, "tier"] == tier]
        if len(own) < FEWEST or own["kid"].nunique() == 1 or own["accuracy"].nunique() == 1:
            words.append(f"{tier}: too few variants for a correlation ({len(own)})")
        else:
            words.append(
                f"{tier}: {stats.spearmanr(-own['kid'], own['accuracy']).statistic:+.2f} over {len(own)} variants"
            )
    return f"rank correlation of realism (low KID) with accuracy, all approaches together: {'; '.join(words)}."


def _reading(rows: pd.DataFrame) -> str:
    text = "Filled: mean over seeds, diverged seeds left out; open: one seed. Compare within a tier alone. Far down on the right side means copies of the support."
    if (rows["variant"] == grids.REAL).any():
        text += " Dashed and dotted: real drawings judged against other real drawings."
    return text
