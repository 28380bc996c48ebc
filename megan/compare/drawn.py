"""A comparison as text and as a picture: one row for each seed, and the mean."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from megan.compare.paired import Comparison
from megan.report import picture, style
from megan.report.picture import Picture

POINTS = 100  # percentage points of an accuracy of 1
SEED, MEAN = "#5f7f9f", "#1b3a57"
ROW = 0.17  # inches


def text(found: Comparison) -> str:
    """Both names, the answer, a table of the seeds, and notes; at most 120 columns, if the names are shorter."""
    lines = [f"A = {found.a.name}", f"B = {found.b.name}", f"A - B: {answer(found)}", f"on {tasks(found)}", ""]
    lines.append(f"{'seed':>6}  {'tasks':>7}  {'A':>8}  {'B':>8}  {'A - B':>8}")
    rows = [(str(int(row.seed)), int(row.tasks), row.a, row.b, row.difference) for row in found.seeds.itertuples()]
    means = found.seeds[["a", "b"]].mean()
    rows.append(("mean", found.overall.tasks, means["a"], means["b"], found.overall.difference))
    for seed, count, a, b, difference in rows:
        lines.append(f"{seed:>6}  {count:>7,}  {a:>8.2%}  {b:>8.2%}  {_points(difference):>8}")
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])


def answer(found: Comparison) -> str:
    """The mean difference with the interval for inference and its p value, or with the interval over tasks."""
    mean, over_seeds = found.overall.difference, found.overall.ci95_seeds
    told = f"{_points(mean)} percentage points"
    if not math.isnan(over_seeds):
        interval = _interval(mean, over_seeds)
        p = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
        return f"{told}, 95 % interval {interval} over {found.overall.seeds} seeds, {p} (paired t test)"
    over_tasks = found.overall.ci95_tasks_within_seeds
    if math.isnan(over_tasks):
        return f"{told}; one seed, so no interval"
    return f"{told}, 95 % interval {_interval(mean, over_tasks)} over the tasks of these trained networks"


def _interval(mean: float, half: float) -> str:
    return f"{_points(mean - half)} to {_points(mean + half)}"


def _points(difference: float) -> str:
    return f"{round(difference * POINTS, 2) + 0.0:+.2f}"  # adding 0 makes -0 positive


def tasks(found: Comparison) -> str:
    """How many tasks and seeds are common, and of which form they are."""
    form = found.a.made["parameters"]["tasks"]
    seeds = f"{found.overall.seeds} seed{'s' * (found.overall.seeds != 1)}"
    return (
        f"{found.overall.tasks:,} common meta-test tasks of {seeds} ({form['ways']} ways, {form['shots']} shot,"
        f" {form['test_queries']} queries per class)"
    )


def figure(found: Comparison) -> Picture:
    """A row for each seed with its interval over tasks, and the mean with its interval over seeds."""
    rows, name = len(found.seeds) + 1, f"{found.a.name} minus {found.b.name}"
    with style.theme():
        drawing = Figure(figsize=(style.COLUMN, 0.75 + ROW * rows), layout="constrained")
        axes = drawing.subplots()
        axes.axvline(0, color=style.MUTED, linestyle="--", linewidth=1, zorder=1, gid="reference/zero")
        for row, seed in enumerate(found.seeds.itertuples()):
            half = 0.0 if math.isnan(seed.ci95_tasks) else seed.ci95_tasks
            _point(axes, row, seed.difference, half, SEED, "o")
        over_seeds = found.overall.ci95_seeds
        _point(axes, rows - 1, found.overall.difference, 0.0 if math.isnan(over_seeds) else over_seeds, MEAN, "D")
        labels = [f"seed {int(seed)}" for seed in found.seeds["seed"]]
        axes.set_yticks(range(rows), [*labels, "mean"], fontsize=style.TINY)
        axes.set(ylim=(rows - 0.4, -0.6))
        axes.set_xlabel(style.wrapped(f"Accuracy of {name} (percentage points)", 58), fontsize=style.TINY)
        axes.grid(axis="y", visible=False)
    bars = "" if found.seeds["ci95_tasks"].isna().all() else " The bar of a seed is its 95 % interval over tasks."
    mean = "" if math.isnan(over_seeds) else " The bar of the mean is the 95 % interval over seeds."
    return picture.described(
        drawing,
        f"Meta-test accuracy: {name}",
        f"{answer(found)}, on {tasks(found)}.{bars}{mean}" + "".join(f" Note: {note}." for note in found.notes),
        f"Dot plot of the difference in meta-test accuracy of {name}, for each seed and the mean: {answer(found)}.",
    )


def _point(axes: Axes, row: int, mean: float, half: float, colour: str, marker: str) -> None:
    """A difference with its interval, in percentage points."""
    look: style.Look = {"fmt": marker, "markersize": 4, "elinewidth": 1.4, "capsize": 2, "color": colour, "zorder": 3}
    axes.errorbar(mean * POINTS, row, xerr=half * POINTS if half else None, **look)
