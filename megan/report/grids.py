"""Grids of sampled images with the judge's numbers. All rows show the same tasks. A row without images says why."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors import SafetensorError
from safetensors.numpy import load_file

from megan.config.params import Style
from megan.data.channels import with_axis, without_axis
from megan.report import captions, curves, picture, style
from megan.report.figures.entry import Comparison
from megan.report.inputs import COMMAND, ReportError, broken, read_json, read_table
from megan.report.picture import Picture
from megan.report.statistics import seed_interval

REAL = "real"  # the rows of realism.csv that judge real images
COLUMNS = ["variant", "seed", "kid", "kid_low", "kid_high", "distance", "collapse"]
MOST_COLUMNS = 20  # images side by side
MOST_ROWS = 3  # draws of one variant
_GAP, _TASK_GAP, _PAPER_GREY = 2, 10, 232  # pixels, pixels, level

GRID = "Each block of columns is one task, the same in all rows. Each row of fakes is drawn with new noise."
READING = (
    "KID is the kernel distance to real images of the same classes; it is about 0 for real images."
    " Distance is 1 minus the cosine between a fake and the support image of its class; it is 0 for a copy."
    " Likeness is the mean cosine between the fakes of one class in one task; it is 1 when all are the same image."
    " All three use the features of a separate network, the judge, which no generator uses."
)

UNLEARNT = "That is not clearly more than chance, so these three numbers are left out; judge.steps has to be raised."

Section = tuple[str, np.ndarray | None]  # a title and a picture; without a picture the title says why


@dataclass(frozen=True)
class _Samples:
    """Images by name, the table of the judge's numbers, and the seed whose tasks are shown."""

    images: dict[str, np.ndarray]
    table: pd.DataFrame
    seed: int | None
    snapshot: int | None = None
    early: frozenset[str] = frozenset()  # variants that are shown at the snapshot, and not at the end

    def moment(self, name: str) -> str:
        """When in training the fakes of a variant were made, as text; "" for the end."""
        return f" after {self.snapshot:,} meta-steps" if name in self.early else ""


def read(samples: Path) -> dict[str, np.ndarray]:
    """The images of `grids.safetensors`, uint8, 255 drawn black. Raises `ReportError` when they are missing or torn."""
    images = load(samples / "grids.safetensors")
    ink = read_json(samples / "record.json", ["data"])["data"]["ink"]
    return images if ink else {name: 255 - values for name, values in images.items()}


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of images. Raises `ReportError` if it is missing or damaged."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ReportError(f"{path} is missing; run `{COMMAND}` to make it") from None
    except (SafetensorError, OSError) as error:
        raise broken(path, f"cannot be read ({error})") from None


def realism(samples: Path, variants: dict[str, Style], facts: captions.Facts) -> pd.DataFrame:
    """`realism.csv` of `variants`' finished seeds, and its rows `real`."""
    table = read_table(samples / "realism.csv", COLUMNS)
    lost = set(zip(facts.diverged["variant"], facts.diverged["seed"], strict=True))
    runs = zip(table["variant"], table["seed"], strict=True)
    kept = [name in {*variants, REAL} and (name, seed) not in lost for name, seed in runs]
    # As an empty list it would take the columns away.
    return table[pd.Series(kept, index=table.index, dtype=bool)].reset_index(drop=True)


def numbers(table: pd.DataFrame, name: str) -> str:
    """KID with its interval, distance and likeness of one variant (or of `real`) as text; "" if it has none."""
    own = table[table["variant"] == name].dropna(subset="kid")
    if own.empty:
        return ""
    kid = f"KID {own['kid'].mean():.3g}"
    if len(own) > 1:
        kid += f" +/- {seed_interval(own['kid']):.2g} over {len(own)} seeds"
    else:
        kid += f" ({own['kid_low'].iloc[0]:.3g} to {own['kid_high'].iloc[0]:.3g} over tasks)"
    words, likeness = f"{kid}, distance {own['distance'].mean():.3f}", own["collapse"].mean()
    return words if np.isnan(likeness) else f"{words}, likeness {likeness:.3f}"


def judge(samples: Path) -> str:
    """The accuracy of the judge as text. If it is low, KID and distances mean little."""
    told = read_json(samples / "record.json", ["judge_accuracy"])["judge_accuracy"]
    return (
        f"The judge recognises {told['validation_accuracy']:.1%} of held-out images of {told['classes']:,} classes"
        f" (chance {1 / told['classes']:.2%}). "
        + ("If this share is low, ignore these three numbers." if told.get("learnt", True) else UNLEARNT)
    )


def compared(
    tables: Path,
    samples: Path,
    styles: dict[str, Style],
    row: Comparison,
    accuracies: bool = False,
    snapshot: int | None = None,
) -> Picture:
    """The support, other real images of its classes, and the fakes of each of the row's variants on the same tasks.

    The fakes are those at meta-step `snapshot` where training kept its weights, else those of the final weights.

    The caption describes the paper's figure and gives the judge's numbers; with `accuracies` also our meta-test
    accuracies.
    """
    everything = captions.read(tables, styles)
    shown = curves.present(row.variants, styles)
    lacking = curves.absent(row.variants, styles)
    images, seed = read(samples), read_json(samples / "record.json", ["seed"])["seed"]
    if not shown:
        return curves.nothing(f"{row.subject}, {everything.where}", row.paper + lacking)
    facts = captions.read(tables, shown)
    found = _Samples(images, realism(samples, shown, facts), seed)
    found = found if snapshot is None else _at(found, snapshot, samples)
    table = found.table
    with style.theme():
        figure = _stacked(_sections(found, row.variants, shown, facts))
        ours = "; ".join(
            f"{own.label}{found.moment(name)}: {numbers(table, name) or 'none'}" for name, own in shown.items()
        )
        floor = numbers(table, REAL)
        floor = f" Real images compared with other real images: {floor}." if floor else ""
        outcomes = curves.outcomes(tables, facts, shown) if accuracies else ""
        return picture.described(
            figure,
            captions.title(facts, row.subject),
            f"{row.paper} Ours: {ours}.{floor} {outcomes}{lacking} {GRID} {READING} {judge(samples)}{facts.short}",
            f"Grids of support images, other real images, and fakes of {captions.listed(shown)}.",
        )


def mosaic(images: np.ndarray) -> np.ndarray:
    """[tasks, rows, columns, height, width], in colour with channels -> one canvas, tasks side by side, 255 black."""
    images = with_axis(images)
    tasks, rows, columns, height, width, channels = images.shape
    tall, wide = rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP
    canvas = np.full((tall, tasks * (wide + _TASK_GAP) - _TASK_GAP, channels), _PAPER_GREY, np.uint8)
    for task, row, column in np.ndindex(tasks, rows, columns):
        top, left = row * (height + _GAP), task * (wide + _TASK_GAP) + column * (width + _GAP)
        canvas[top : top + height, left : left + width] = 255 - images[task, row, column]
    return without_axis(canvas)


def images(canvases: np.ndarray, side: int) -> np.ndarray:
    """Canvases of `mosaic` with one task each, uint8 [tasks, height, width(, channels)] -> its images, 255 black.

    **Returns** uint8 [tasks, rows, columns, side, side(, channels)].
    """
    pitch = side + _GAP
    tops, lefts = (range(0, length, pitch) for length in canvases.shape[1:3])
    cut = [[canvases[:, top : top + side, left : left + side] for left in lefts] for top in tops]
    return 255 - np.stack([np.stack(row, axis=1) for row in cut], axis=1)


def show(axes: Axes, canvas: np.ndarray, **look: Any) -> None:
    """Draw the canvas of `mosaic`."""
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=255, interpolation="nearest", **look)


def label(axes: Axes, text: str) -> None:
    """Put a label to the left of a row of images, and draw no ticks and no frame."""
    axes.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=style.TINY)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _at(found: _Samples, step: int, samples: Path) -> _Samples:
    """The same with images and numbers of meta-step `step`, for the variants whose weights were kept there."""
    early = frozenset(
        key[6:].partition("@")[0] for key in found.images if key.startswith("fakes/") and key.endswith(f"@{step}")
    )
    if not early:
        return found
    rows = read_table(samples / "snapshots.csv", ["variant", "seed", "meta_step", *COLUMNS[2:]])
    rows = rows[rows["variant"].isin(early & set(found.table["variant"])) & (rows["meta_step"] == step)]
    table = pd.concat([found.table[~found.table["variant"].isin(early)], rows], ignore_index=True)
    images = found.images | {f"fakes/{name}": found.images[f"fakes/{name}@{step}"] for name in early}
    return _Samples(images, table, found.seed, step, early)


def _sections(samples: _Samples, names: Sequence[str], shown: dict[str, Style], facts: captions.Facts) -> list[Section]:
    """Real images, if there are fakes to compare, then the fakes of each variant."""
    images = samples.images
    sections: list[Section] = []
    first = next((name for name in names if f"fakes/{name}" in images), None)
    if first:
        support, query = images[f"support/{first}"], images[f"query/{first}"]
        tasks, shots = _tasks(support), support.shape[1] // query.shape[2]
        others = query[tasks, :2].repeat(shots, axis=2)[:, :, :MOST_COLUMNS]
        title = f"Support images, meta-test tasks of seed {samples.seed}"
        sections.append((title, mosaic(support[tasks, None, :MOST_COLUMNS])))
        sections.append(("Real: other images of the same classes", mosaic(others)))
    for name in names:
        if name not in shown:
            sections.append((f"{name}: no result in this study", None))
            continue
        title = facts.label(name, shown[name].label).replace("\n", " ")
        problem = _why_none(samples, name, first, facts)
        if problem:
            sections.append((f"{title}: {problem}", None))
        else:
            sections.append((f"Fakes: {title}{samples.moment(name)}", mosaic(_fakes(images, name))))
    return sections


def _tasks(support: np.ndarray) -> slice:
    return slice(max(1, MOST_COLUMNS // support.shape[1]))


def _fakes(images: dict[str, np.ndarray], name: str) -> np.ndarray:
    support, fakes = images[f"support/{name}"], images[f"fakes/{name}"]
    return fakes[_tasks(support), :MOST_ROWS, : support.shape[1]][:, :, :MOST_COLUMNS]


def _why_none(samples: _Samples, name: str, first: str | None, facts: captions.Facts) -> str:
    """Why a variant has no row of fakes next to those of the `first`, or ""."""
    if f"fakes/{name}" in samples.images:
        alike = np.array_equal(samples.images[f"support/{name}"], samples.images[f"support/{first}"])
        return "" if alike else "its tasks differ from those of the other rows"
    if not facts.table.loc[name, "seeds"]:
        return "every seed diverged, so there are no fakes to show"
    lost = facts.diverged.loc[facts.diverged["variant"] == name, "seed"]
    if samples.seed is not None and samples.seed in set(lost):
        return f"seed {samples.seed}, shown here, diverged"
    return "it has no fakes for the tasks shown here"


def _stacked(sections: list[Section]) -> Figure:
    heights = [grid.shape[0] if grid is not None else 15 for _, grid in sections]
    width = max([grid.shape[1] for _, grid in sections if grid is not None], default=600)
    figure = Figure(figsize=(style.PAGE, 0.1 + 6.9 * sum(heights) / width + 0.19 * len(sections)), layout="constrained")
    stacked = figure.subplots(len(sections), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, grid) in zip(stacked, sections, strict=True):
        axes.set_axis_off()
        axes.set_title(style.wrapped(title, 110), fontsize=style.TINY, loc="left", pad=2)
        if grid is None:
            axes.text(
                0, 0.5, "no images", fontsize=style.TINY, color=style.MUTED, va="center", transform=axes.transAxes
            )
        else:
            show(axes, grid)
            axes.set_anchor("W")
    return figure
