"""Fig. 7: samples of plain GANs that were trained on K images; one row for each K.

Columns are classes, or, for GANs of mixed classes, samples of the one GAN.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from megan.config.params import Style
from megan.report import grids, picture, style
from megan.report.inputs import broken, read_json, read_table
from megan.report.picture import Picture
from megan.report.statistics import seed_interval

ROWS = 2  # samples of each GAN of one class, above each other
COLUMNS = 10  # samples of a GAN of mixed classes, side by side
LEAST = 6  # images side by side that fill a column of a paper
LABELS = 1.15  # inches to the left of the images
KEYS = ["study", "dataset", "title", "classes", "seeds", "parameters", "judge_accuracy"]  # of the record
NUMBERS = ["kid", "kid_low", "kid_high", "collapse", "nearest", "kid_real", "collapse_real", "nearest_real"]
PAPER = (
    "The paper's Fig. 7 shows Fashion-MNIST after 500 updates on K = 100, 25, 10, 5 and 1 images. The paper says"
    " that a standard GAN begins to fail below K = 25: no realistic samples, mode collapse, noise or numerical"
    " instability."
)
TRAINED_ON = {
    "class": "There is one GAN for each class and K, trained on K images of that class.",
    "all": "There is one GAN for each K, trained on K images of mixed classes, as in the paper's picture; the first row"
    " shows the first of them.",
}
READING = (
    "KID is the kernel distance to held-out real images of the same kind, in the features of a classifier of real"
    " images; it is 0 for real images. Likeness is the mean cosine of those features over pairs of samples; it is 1"
    " when all are the same image. Nearest is the root mean square pixel difference to the nearest of the K images. If"
    " it is smaller than that of held-out real images, the samples repeat the training images."
)


@dataclass(frozen=True)
class _Result:
    quality: pd.DataFrame
    images: dict[str, np.ndarray]
    record: dict[str, Any]

    @property
    def dataset(self) -> str:
        return self.record["title"]

    @property
    def mixed(self) -> bool:
        """Whether a GAN was trained on images of all classes."""
        return self.record.get("images_of") == "all"

    def grid(self, name: str) -> np.ndarray:
        """Images of the first seed, uint8 [rows, columns, height, width]; 0, drawn as white, where a GAN diverged.

        If the classes are few, each has several samples side by side.
        """
        images = self.images[name][0]
        if not self.mixed:
            across = max(1, min(LEAST // len(images), images.shape[1] // ROWS))
            shown = images[:, : ROWS * across].reshape(len(images), ROWS, across, *images.shape[2:])
            return shown.swapaxes(0, 1).reshape(ROWS, len(images) * across, *images.shape[2:])
        shown = np.zeros((ROWS * COLUMNS, *images.shape[2:]), images.dtype)  # white where there are fewer
        some = images[0, : ROWS * COLUMNS]
        shown[: len(some)] = some
        return shown.reshape(ROWS, COLUMNS, *images.shape[2:])


def build(gan: Path, _: dict[str, Style]) -> Picture:
    """Training images, then samples of the GANs of each K, for the first seed. Labels give KID and divergence.

    **Raises** `ReportError` if a file of `gan` is missing, damaged or lacks a K.
    """
    result = _read(gan)
    classes, counts = result.record["classes"], sorted(set(result.quality["images"]), reverse=True)
    rows = [("Real, trained on", result.grid("training"))]
    rows += [(_label(result.quality, count), result.grid(f"K{count}")) for count in counts]
    with style.theme():
        columns = rows[0][1].shape[1]
        side = min(0.5, (style.PAGE - LABELS) / columns)  # inches of one image
        size = (LABELS + side * columns, 0.35 + len(rows) * (ROWS * side + 0.06))
        figure = Figure(figsize=size, layout="constrained")
        stacked = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
        for axes, (label, images) in zip(stacked, rows, strict=True):
            grids.show(axes, grids.mosaic(images[None]))
            grids.label(axes, label)
            axes.set_anchor("W")
        if not result.mixed:
            _name_columns(stacked[0], classes)
        alt = (
            f"Grid of {result.dataset} images: real ones, then samples of plain GANs trained on"
            f" {', '.join(map(str, counts))} images."
        )
        return picture.described(figure, _title(result), _caption(result, counts), alt)


def _name_columns(axes: Axes, names: list[str]) -> None:
    place: style.Look = {"ha": "center", "va": "bottom", "transform": axes.transAxes}
    for column, name in enumerate(names):
        axes.text((column + 0.5) / len(names), 1.04, style.wrapped(_readable(name), 8), fontsize=6, **place)


def _readable(name: str) -> str:
    """A class of the synthetic characters by its letter: "Latin U+0051" is "Latin Q". Other names stay."""
    script, _, code = name.rpartition(" U+")
    return f"{script} {chr(int(code, 16))}" if script and int(code, 16) < 0x250 else name


def _read(gan: Path) -> _Result:
    path = gan / "samples.safetensors"
    quality = read_table(gan / "quality.csv", ["images", "class", "seed", "updates", *NUMBERS])
    record = read_json(gan / "record.json", KEYS)
    images = grids.load(path)
    seeds, classes = len(record["seeds"]), len(record["classes"])
    for name in ("training", *(f"K{count}" for count in sorted(set(quality["images"])))):
        if name not in images or images[name].shape[:2] != (seeds, classes):
            raise broken(path, f"holds no {name!r} of {seeds} seeds and {classes} classes")
    return _Result(quality, images, record)


def _label(quality: pd.DataFrame, count: int) -> str:
    own = quality[quality["images"] == count]
    lost = int(own["kid"].isna().sum())
    kid = f"KID {own['kid'].mean():.2g}" if lost < len(own) else "no KID"
    return f"K = {count}\n{kid}" + (f"\n{lost} of {len(own)} diverged" if lost else "")


def _title(result: _Result) -> str:
    updates, seeds = result.record["parameters"]["gan"]["updates"], len(result.record["seeds"])
    counts = f"{seeds} seed{'s' * (seeds != 1)}, {updates:,} update{'s' * (updates != 1)}"
    return f"A plain GAN on K images ({result.dataset}), study {result.record['study']}: {counts}"


def _caption(result: _Result, counts: list[int]) -> str:
    quality, record = result.quality, result.record
    other = f" Our figure does not use Fashion-MNIST but the {record['dataset']}, which need no download."
    ours = "; ".join(_numbers(quality[quality["images"] == count], count) for count in counts)
    floor = (
        f"Real images compared with held-out ones: KID {quality['kid_real'].mean():.2g}, likeness"
        f" {quality['collapse_real'].mean():.2f}. The classifier recognises {record['judge_accuracy']:.1%} of held-out"
        " images."
    )
    shown = f"The figure shows seed {record['seeds'][0]}, black on white."
    excuse = "" if record["dataset"] == "fashion_mnist" else other
    over = "seeds" if result.mixed else "classes and seeds"
    how = f"{TRAINED_ON['all' if result.mixed else 'class']} {READING}"
    return f"{PAPER}{excuse} Ours, means over {over}: {ours}. {floor} {shown} {how}"


def _numbers(own: pd.DataFrame, count: int) -> str:
    lost, finished = int(own["kid"].isna().sum()), own.dropna(subset="kid")
    told = f", {lost} of {len(own)} diverged" if lost else ""
    if finished.empty:
        return f"K = {count}: every GAN diverged"
    seeds = finished.groupby("seed")["kid"].mean()
    if len(seeds) > 1:
        spread = f"+/- {seed_interval(seeds):.2g} over {len(seeds)} seeds"
    else:
        spread = (
            "of one seed"
            if len(finished) == 1
            else f"({finished['kid'].min():.2g} to {finished['kid'].max():.2g} over classes)"
        )
    nearest = f"nearest {finished['nearest'].mean():.2f} (held-out {finished['nearest_real'].mean():.2f})"
    likeness = f"likeness {finished['collapse'].mean():.2f}"
    return f"K = {count}: KID {seeds.mean():.2g} {spread}, {likeness}, {nearest}{told}"
