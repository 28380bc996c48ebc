"""Accuracy against the realism of the fakes (sections 3.4 and 5), and distance to the support, which shows copying."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from scipy import stats

from megan.config.params import Style
from megan.report import captions, curves, grids, layout, picture, style
from megan.report.inputs import read_table
from megan.report.picture import Picture

FEWEST = 5  # variants that a rank correlation needs
INK = "#222222"  # of the numbers beside the dots
SUBJECT = "Realism and accuracy"
PAPER = (
    "The paper, sections 5.1.2 and 5.1.3 (no figure): without sharing, generators of more realistic fakes helped the"
    " classifier more; in N+1, noisy fakes did less harm."
)
HEIGHTS = {"accuracy": "Meta-test accuracy", "distance": "Distance to the support image"}  # the two panels of a row


def build(tables: Path, samples: Path, styles: dict[str, Style]) -> Picture:
    """One row for each tier: accuracy, and distance to the support image, against KID. Numbers mark the variants."""
    facts = captions.read(tables, styles)
    drawn = layout.comparable(styles, facts)
    smoke = layout.left_out(own for name, own in styles.items() if name not in drawn)
    styles, facts = drawn, captions.read(tables, drawn)
    rows = grids.realism(samples, styles, facts)
    accuracy = read_table(tables / "seeds.csv", ["variant", "seed", "accuracy"])[["variant", "seed", "accuracy"]]
    runs = rows[rows["variant"] != grids.REAL].merge(accuracy, on=["variant", "seed"])
    runs = runs.dropna(subset=["kid", "accuracy"])
    title = f"{SUBJECT}, {facts.where}"
    if runs.empty:
        return curves.nothing(title, f"{PAPER} In this study no variant has finished a seed with fakes.{smoke}")
    found = set(runs["variant"])
    numbers = {name: number for number, name in enumerate((name for name in styles if name in found), 1)}
    tiers = [tier for tier in facts.table["tier"].unique() if (facts.table.loc[list(numbers), "tier"] == tier).any()]
    with style.theme():
        height = max(0.3 + 2.1 * len(tiers), 0.4 + 0.14 * (len(numbers) + 2))
        figure = Figure(figsize=(style.PAGE, height), layout="constrained")
        for pair, tier in zip(figure.subplots(len(tiers), 2, squeeze=False), tiers, strict=True):
            own = {name: styles[name] for name in numbers if facts.table.loc[name, "tier"] == tier}
            _row(pair, runs[runs["variant"].isin(own)], numbers, own)
            _reals(pair, rows)
            shared = captions.read(tables, own).shared
            pair[0].set_title(f"{tier.capitalize()}: {shared}", fontsize=style.SMALL, loc="left")
        for axes in figure.axes[-2:]:
            axes.set_xlabel("KID (left: more realistic)")
        handles = _variants(numbers, styles, facts) + _real_lines(rows)
        figure.legend(handles=handles, loc="outside right upper", fontsize=6, frameon=False, labelspacing=0.35)
        ours = f"Ours: {_correlations(runs, facts, tiers)} {_reading(rows)}"
        return picture.described(
            figure,
            title,
            f"{PAPER} {ours} {grids.READING} {grids.judge(samples)}{smoke}{facts.short}",
            "Scatter plots against KID, a measure of realism: of the meta-test accuracy, and of the distance between"
            " fakes and support images.",
        )


def _row(pair: np.ndarray, runs: pd.DataFrame, numbers: dict[str, int], styles: dict[str, Style]) -> None:
    """Both panels of one tier."""
    for axes, (column, words) in zip(pair, HEIGHTS.items(), strict=True):
        for name, own in styles.items():
            _variant(axes, runs.loc[runs["variant"] == name, ["kid", column]], f"{column}/{name}", own.colour)
        _scale(axes, runs["kid"])
        _number(axes, runs.groupby("variant")[["kid", column]].mean(), numbers)
        axes.set_ylabel(words)
    style.percent(pair[0], "y", pair[0].get_ylim())


def _variant(axes: Axes, points: pd.DataFrame, gid: str, colour: str) -> None:
    """A filled dot at the mean over seeds. With several seeds, an open dot for each."""
    if len(points) > 1:
        open_dot: style.Look = {"marker": "o", "markersize": 3.5, "markerfacecolor": "white", "markeredgecolor": colour}
        axes.plot(*points.to_numpy().T, linestyle="", gid=f"seeds/{gid}", zorder=2, **open_dot)
    dot: style.Look = {"marker": "o", "markersize": 5.5, "markeredgecolor": "white", "color": colour}
    axes.plot(*points.mean(), linestyle="", clip_on=False, gid=f"mean/{gid}", zorder=3, **dot)


def _number(axes: Axes, means: pd.DataFrame, numbers: dict[str, int]) -> None:
    """The number of each variant beside its dot, raised until it covers no other number."""
    taken: list[tuple[float, float]] = []
    for name, mean in means.sort_values(means.columns[1]).iterrows():
        x, y = axes.transData.transform(tuple(mean)) * 72 / axes.figure.dpi  # points
        lift = 0.0
        while any(abs(x - other) < 8 and abs(y + lift - height) < 6 for other, height in taken):
            lift += 1.0
        taken.append((x, y + lift))
        place: style.Look = {"xytext": (4, lift), "textcoords": "offset points", "va": "center", "fontsize": 6}
        axes.annotate(str(numbers[str(name)]), tuple(mean), color=INK, zorder=4, **place)


def _reals(pair: np.ndarray, rows: pd.DataFrame) -> None:
    own = rows[rows["variant"] == grids.REAL]
    look: style.Look = {"color": style.MUTED, "linewidth": 1, "zorder": 1}
    if own["kid"].notna().any():
        for axes in pair:
            axes.axvline(own["kid"].mean(), linestyle="--", gid="real/kid", **look)
    if own["distance"].notna().any():
        pair[1].axhline(own["distance"].mean(), linestyle=":", gid="real/distance", **look)


def _scale(axes: Axes, kids: pd.Series) -> None:
    """A logarithmic scale, linear around 0, if one large value would squeeze the others together."""
    if kids.max() > 5 * max(kids.median(), 0):
        axes.set_xscale("symlog", linthresh=10.0 ** np.floor(np.log10(kids.max() / 100)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.margins(x=0.08)


def _variants(numbers: dict[str, int], styles: dict[str, Style], facts: captions.Facts) -> list[Line2D]:
    handles = []
    for name, number in numbers.items():
        label, note = f"{number}  {styles[name].label}", facts.notes[name]
        if "diverged" in note:
            label += f" ({note.partition(', ')[2] or note})"
        handles.append(Line2D([], [], color=styles[name].colour, marker="o", linestyle="", label=label))
    return handles


def _real_lines(rows: pd.DataFrame) -> list[Line2D]:
    if not (rows["variant"] == grids.REAL).any():
        return []
    look: style.Look = {"color": style.MUTED, "linewidth": 1}
    return [
        Line2D([], [], linestyle="--", label="KID of real images", **look),
        Line2D([], [], linestyle=":", label="distance of real images", **look),
    ]


def _correlations(runs: pd.DataFrame, facts: captions.Facts, tiers: list[str]) -> str:
    means = runs.groupby("variant")[["kid", "accuracy"]].mean()
    words = []
    for tier in tiers:
        own = means[facts.table.loc[means.index, "tier"] == tier]
        if len(own) < FEWEST or own["kid"].nunique() == 1 or own["accuracy"].nunique() == 1:
            words.append(f"{tier}: too few variants for a correlation ({len(own)})")
        else:
            rank = stats.spearmanr(-own["kid"], own["accuracy"]).statistic
            words.append(f"{tier}: {rank:+.2f} over {len(own)} variants")
    return f"rank correlation of realism (low KID) with accuracy, all approaches together: {'; '.join(words)}."


def _reading(rows: pd.DataFrame) -> str:
    text = (
        f"{captions.DOTS} Compare variants within a tier only. A variant near the bottom of a right panel copies the"
        " support images."
    )
    if (rows["variant"] == grids.REAL).any():
        text += " The dashed and the dotted line are real images compared with other real images."
    return text
