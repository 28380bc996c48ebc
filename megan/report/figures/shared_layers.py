"""Section 4.1: meta-test accuracy of multi-task against the number of layers shared by classifier and discriminator."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from megan.config.params import Style
from megan.report import captions, curves, picture, style
from megan.report.inputs import read_table
from megan.report.picture import Picture

REFERENCE = "maml_short"
VARIANTS = tuple(f"multi_task_{shared}" for shared in range(5))
LEAST_SPAN = 0.05  # of the axis: a shorter one would make noise look like an effect
SUBJECT = "Layers shared by classifier and discriminator"
PAPER = (
    "The paper, section 4.1 (no figure): for any number of shared layers, multi-task was at best slightly below MAML."
)


def build(tables: Path, styles: dict[str, Style]) -> Picture:
    """For each number of shared layers the mean, its interval over seeds, and the seeds; MAML as a line with a band."""
    everything = captions.read(tables, styles)
    names = (REFERENCE, *VARIANTS)
    shown = curves.present(names, styles)
    if not shown:
        return curves.nothing(f"{SUBJECT}, {everything.where}", PAPER + curves.absent(names, styles))
    facts = captions.read(tables, shown)
    seeds = read_table(tables / "seeds.csv", ["variant", "seed", "accuracy"])
    with style.theme():
        figure = Figure(figsize=(style.COLUMN, 2.6), layout="constrained")
        axes = figure.subplots()
        if REFERENCE in shown and facts.table.loc[REFERENCE, "seeds"]:
            _reference(axes, facts, shown[REFERENCE])
        for shared, name in enumerate(VARIANTS):
            if name in shown:
                colour, own = shown[name].colour, seeds.loc[seeds["variant"] == name, "accuracy"]
                _point(axes, facts, shared, name, colour)
                circle: style.Look = {"s": 10, "facecolor": "white", "edgecolor": colour, "linewidth": 0.8, "zorder": 4}
                if len(own) > 1:
                    axes.scatter([shared + 0.16] * len(own), own, gid=f"seeds/{name}", **circle)
        _scales(figure, axes, facts)
        ours = f"{curves.outcomes(tables, facts, shown)}{curves.absent(names, styles)}"
        return picture.described(
            figure,
            captions.title(facts, SUBJECT),
            f"{PAPER} {ours} {_reading(facts)}{facts.short}",
            "Dot plot of the meta-test accuracy of multi-task against the number of shared layers, with that of MAML.",
        )


def _scales(figure: Figure, axes: Axes, facts: captions.Facts) -> None:
    axes.set(xlim=(-0.5, 4.5), xlabel="Shared layers", ylabel="Meta-test accuracy")
    axes.set_xticks(range(5), [_tick(shared, facts) for shared in range(5)])
    low, high = axes.get_ylim() if facts.table["seeds"].any() else (0.0, 1.0)
    room = max(0.0, LEAST_SPAN - (high - low)) / 2
    style.percent(axes, "y", (low - room, high + room))
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside upper right", ncols=2, frameon=False)


def _reference(axes: Axes, facts: captions.Facts, own: Style) -> None:
    row = facts.table.loc[REFERENCE]
    axes.axhline(row["accuracy"], color=own.colour, linewidth=1.5, gid=f"mean/{REFERENCE}", label=own.label)
    if row["seeds"] > 1:
        low, high = row["accuracy"] - row["ci95_seeds"], row["accuracy"] + row["ci95_seeds"]
        look: style.Look = {"color": own.colour, "alpha": 0.15, "linewidth": 0}
        axes.axhspan(low, high, gid=f"band/{REFERENCE}", label="its 95 % over seeds", **look)


def _point(axes: Axes, facts: captions.Facts, shared: int, name: str, colour: str) -> None:
    row = facts.table.loc[name]
    if not row["seeds"]:
        place: style.Look = {"ha": "center", "va": "center", "transform": axes.get_xaxis_transform()}
        axes.text(shared, 0.5, "every seed\ndiverged", fontsize=style.TINY, color=style.MUTED, **place)
        return
    over_tasks: style.Look = {"elinewidth": 4, "alpha": 0.45, "ecolor": colour, "zorder": 1}
    axes.errorbar(shared, row["accuracy"], yerr=row["ci95_tasks"], fmt="none", **over_tasks)
    if row["seeds"] > 1:
        bar: style.Look = {"elinewidth": 1, "capsize": 3, "ecolor": colour, "zorder": 2}
        axes.errorbar(shared, row["accuracy"], yerr=row["ci95_seeds"], fmt="none", **bar)
    dot: style.Look = {
        "marker": "o",
        "markersize": 5,
        "markeredgecolor": "white",
        "linestyle": "",
        "color": colour,
        "zorder": 4,
    }
    axes.plot(shared, row["accuracy"], gid=f"mean/{name}", **dot)


def _tick(shared: int, facts: captions.Facts) -> str:
    name = VARIANTS[shared]
    if name not in facts.table.index:
        return f"{shared}\n(no result in this study)"
    return facts.label(name, str(shared))


def _reading(facts: captions.Facts) -> str:
    layers = "0 shared layers are two networks, 4 all but the heads."
    text = f"{captions.DOTS} Wide bars are 95 % intervals over tasks. {layers}"
    if (facts.table["seeds"] > 1).any():
        text += " Thin bars, the band and +/- give the 95 % interval over seeds, cut at the ends of the axis."
    if facts.single:
        text += " A variant with one finished seed has no interval."
    return f"{text} {captions.AXIS}"
