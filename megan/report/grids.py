"""Grids of sampled images: the same tasks in every row, words where a variant has no images, and the judge's numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors import SafetensorError
from safetensors.numpy import load_file

from megan.config.params import Style
from megan.report import captions, curves, style
from megan.report.inputs import COMMAND, ReportError, broken, read_json, read_table
from megan.report.statistics import seed_interval

REAL = "real"  # the rows of realism.csv that judge real drawings
COLUMNS = ["variant", "seed", "kid", "kid_low", "kid_high", "distance", "collapse"]
MOST_COLUMNS = 20  # images side by side
MOST_ROWS = 3  # draws of one variant
_GAP, _TASK_GAP, _PAPER_GREY = 2, 10, 232  # pixels, pixels, level


def read(samples: Path) -> dict[str, np.ndarray]:
    """The images of `grids.safetensors`, uint8, ink = 255. Raises `ReportError` when they are missing or torn."""
    path = samples / "grids.safetensors"
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ReportError(f"{path} is missing; run `{COMMAND}` to make it") from None
    except (SafetensorError, OSError) as error:
        raise broken(path, f"cannot be read ({error})") from None


def realism(samples: Path, variants: dict[str, Style], facts: captions.Facts) -> pd.DataFrame:
    """`realism.csv` of `variants`' finished seeds, and its rows `real`."""
    table = read_table(samples / "realism.csv", COLUMNS)
    lost = set(zip(facts.diverged["variant"], facts.diverged["seed"]))
    kept = [
        name in {*variants, REAL} and (name, seed) not in lost for name, seed in zip(table["variant"], table["seed"])
    ]
    return table[kept].reset_index(drop=True)


def numbers(table: pd.DataFrame, name: str) -> str:
    """KID with its interval, distance and likeness of one variant (or of `real`) in words; "" where it has none."""
    own = table[table["variant"] == name].dropna(subset="kid")
    if own.empty:
        return ""
    kid = f"KID {own['kid'].mean():.3g}"
    if len(own) > 1:
        kid += f" +/- {seed_interval(own['kid']):.2g} over {len(own)} seeds"
    else:
        kid += f" ({own['kid_low'].iloc[0]:.3g} to {own['kid_high'].iloc[0]:.3g} over tasks)"
    likeness = own["collapse"].mean()
    return f"{kid}, distance {own['distance'].mean():.3f}" + (
        "" if np.isnan(likeness) else f", likeness {likeness:.3f}"
    )


READING = (
    "KID: kernel distance to real drawings of the same classes, in the features of an encoder that conditioned no generator; 0 is real. "
    "Distance (1 - cosine of those features) is that of a fake to the support image of its class: a copy has 0. "
    "Likeness (mean cosine) is that of the draws of one class in one task: 1 is one and the same image."
)


def judge(samples: Path) -> str:
    """How much the encoder that judges has learned, without which KID and distances mean little."""
    told = read_json(samples / "record.json", ["judge_accuracy"])["judge_accuracy"]
    return f"That encoder knows {told['validation_accuracy']:.1%} of held-back drawings of {told['classes']:,} characters: the less it knows, the less these numbers mean."


def compared(
    tables: Path,
    samples: Path,
    variants: dict[str, Style],
    names: Sequence[str],
    subject: str,
    paper: str,
    ours: str = "",
) -> Figure:
    """The support, other real drawings of its classes, and the fakes of each of `names` on the same tasks.

    `paper`: what the paper's figure showed; `ours`: what ours does, beside the judge's numbers.
    """
    everything = captions.read(tables, variants)
    images, seed = read(samples), read_json(samples / "record.json", ["seed"])["seed"]
    shown = curves.present(names, variants)
    if not shown:
        return curves.nothing(f"{subject}, study {everything.study}", paper + curves.absent(names, variants))
    facts = captions.read(tables, shown)
    table = realism(samples, shown, facts)
    with style.theme():
        sections = _sections(images, names, variants, facts, table, seed)
        heights = [grid.shape[0] if grid is not None else 30 for _, grid in sections]
        width = max([grid.shape[1] for _, grid in sections if grid is not None], default=600)
        figure = Figure(figsize=(9, 1.9 + 8.8 * sum(heights) / width + 0.24 * len(sections)), layout="constrained")
        stacked = figure.subplots(len(sections), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (title, grid) in zip(stacked, sections):
            _section(axes, title, grid)
        outcome = "; ".join(f"{own.label}: {numbers(table, name) or 'none'}" for name, own in shown.items())
        floor = numbers(table, REAL)
        floor = f" Real drawings judged against others: {floor}." if floor else ""
        reading = (
            "Each block of columns is a task, the same in all rows; each row of fakes is a draw with noise of its own."
        )
        caption = f"{paper} Ours: {outcome}.{floor} {ours}{curves.absent(names, variants)} {reading} {READING} {judge(samples)}{facts.short}"
        style.headings(figure, captions.title(facts, subject), " ".join(caption.split()))
    return figure


def mosaic(images: np.ndarray) -> np.ndarray:
    """[tasks, rows, columns, height, width], ink = 255 -> one picture [height, width], ink black, tasks side by side."""
    tasks, rows, columns, height, width = images.shape
    tall, wide = rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP
    picture = np.full((tall, tasks * (wide + _TASK_GAP) - _TASK_GAP), _PAPER_GREY, np.uint8)
    for task, row, column in np.ndindex(tasks, rows, columns):
        top, left = row * (height + _GAP), task * (wide + _TASK_GAP) + column * (width + _GAP)
        picture[top : top + height, left : left + width] = 255 - images[task, row, column]
    return picture


def _sections(
    images: dict[str, np.ndarray],
    names: Sequence[str],
    variants: dict[str, Style],
    facts: captions.Facts,
    table: pd.DataFrame,
    seed: int | None,
) -> list[tuple[str, np.ndarray | None]]:
    """A title and a picture each, or no picture where the title says why."""
    first = next((name for name in names if f"fakes/{name}" in images), None)
    sections: list[tuple[str, np.ndarray | None]] = []
    if first:
        support, query = images[f"support/{first}"], images[f"query/{first}"]
        tasks = slice(max(1, MOST_COLUMNS // support.shape[1]))
        shots = support.shape[1] // query.shape[2]
        sections += [(f"Support images, meta-test tasks of seed {seed}", mosaic(support[tasks, None, :MOST_COLUMNS]))]
        sections += [
            (
                "Real: other drawings of the same classes",
                mosaic(query[tasks, :2].repeat(shots, axis=2)[:, :, :MOST_COLUMNS]),
            )
        ]
    for name in names:
        if name not in variants:
            sections.append((f"{name}: not in this study", None))
            continue
        title, fakes = facts.label(name, variants[name].label).replace("\n", " "), images.get(f"fakes/{name}")
        if fakes is None:
            sections.append((f"{title}: {_why_none(name, facts, seed)}", None))
        elif not np.array_equal(images[f"support/{name}"], support):
            sections.append((f"{title}: its tasks are not those of the other rows", None))
        else:
            sections.append(
                (
                    f"{title}. {numbers(table, name)}",
                    mosaic(fakes[tasks, :MOST_ROWS, : support.shape[1]][:, :, :MOST_COLUMNS]),
                )
            )
    return sections


def _why_none(name: str, facts: captions.Facts, seed: int | None) -> str:
    if not facts.table.loc[name, "seeds"]:
        return "every seed diverged, so there is no fake to show"
    if (
        seed is not None
        and not facts.diverged[(facts.diverged["variant"] == name) & (facts.diverged["seed"] == seed)].empty
    ):
        return f"seed {seed}, shown here, diverged"
    return "it left no fakes of the tasks shown here"


def _section(axes: Axes, title: str, picture: np.ndarray | None) -> None:
    axes.set_axis_off()
    axes.set_title(title, fontsize=8, loc="left", pad=3)
    if picture is None:
        axes.text(0, 0.5, "no images", fontsize=8, color=style.MUTED, va="center", transform=axes.transAxes)
        return
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_anchor("W")
