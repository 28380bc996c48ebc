"""Fig. 7: what a plain GAN makes of K images, a row a K, a column a class."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors import SafetensorError
from safetensors.numpy import load_file

from megan.config.params import Style
from megan.report import grids, style
from megan.report.inputs import COMMAND, ReportError, broken, read_json, read_table
from megan.report.statistics import seed_interval

NAME = "plain_gan"
READS = ("gan",)
ROWS = 2  # samples of each GAN
NAMES = {"fashion_mnist": "Fashion-MNIST", "glyphs": "glyphs"}
NUMBERS = ["kid", "kid_low", "kid_high", "collapse", "nearest", "kid_real", "collapse_real", "nearest_real"]
PAPER = (
    "The paper's Fig. 7 shows Fashion-MNIST after 500 updates from K = 100, 25, 10, 5 and 1 images; by its text a standard GAN begins to fail "
    "below K = 25: no realistic samples, mode collapse, noise or numerical instability."
)
READING = (
    "One GAN for each class and K; the K images are of that class. KID: kernel distance to held-out real images of the class, in the features of a "
    "classifier of real images, 0 is real. Likeness: mean cosine of those features over pairs of samples, 1 is one and the same image. "
    "Nearest: root mean square pixel difference from the nearest of the K; below that of held-out real images the samples repeat what was trained on."
)


@dataclass(frozen=True)
class _Result:
    quality: pd.DataFrame
    images: dict[str, np.ndarray]
    record: dict


def draw(gan: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(gan), out, NAME)


def build(gan: Path) -> Figure:
    """Training images, then samples of each K's GANs, of the first seed; KID and divergence beside each.

    **Raises** `ReportError` when a file of `gan` is missing, torn or lacks a K.
    """
    result = _read(gan)
    counts = sorted(set(result.quality["images"]), reverse=True)
    pictures = [("Real, trained on", result.images["training"])] + [
        (_label(result.quality, count), result.images[f"K{count}"]) for count in counts
    ]
    with style.theme():
        columns = len(result.record["classes"])
        figure = Figure(figsize=(9, 2.2 + len(pictures) * ROWS * 7.0 / max(columns, 6)), layout="constrained")
        stacked = figure.subplots(len(pictures), 1, squeeze=False)[:, 0]
        for axes, (label, images) in zip(stacked, pictures):
            _row(axes, label, images[0, :, :ROWS].swapaxes(0, 1))
        for column, name in enumerate(result.record["classes"]):
            stacked[0].text(
                (column + 0.5) / columns,
                1.04,
                name,
                transform=stacked[0].transAxes,
                ha="center",
                va="bottom",
                fontsize=8,
            )
        style.headings(figure, _title(result), _caption(result, counts))
    return figure


def _read(gan: Path) -> _Result:
    path = gan / "samples.safetensors"
    quality = read_table(gan / "quality.csv", ["images", "class", "seed", "updates", *NUMBERS])
    record = read_json(gan / "record.json", ["study", "dataset", "classes", "seeds", "parameters", "judge_accuracy"])
    try:
        images = load_file(path)
    except FileNotFoundError:
        raise ReportError(f"{path} is missing; run `{COMMAND}` to make it") from None
    except (SafetensorError, OSError) as error:
        raise broken(path, f"cannot be read ({error})") from None
    for name in ("training", *(f"K{count}" for count in sorted(set(quality["images"])))):
        if name not in images or images[name].shape[:2] != (len(record["seeds"]), len(record["classes"])):
            raise broken(
                path, f"holds no {name!r} of {len(record['seeds'])} seeds and {len(record['classes'])} classes"
            )
    return _Result(quality, images, record)


def _label(quality: pd.DataFrame, count: int) -> str:
    own = quality[quality["images"] == count]
    lost = int(own["kid"].isna().sum())
    kid = f"KID {own['kid'].mean():.2g}" if lost < len(own) else "no KID"
    return f"K = {count}\n{kid}" + (f"\n{lost} of {len(own)} diverged" if lost else "")


def _row(axes: Axes, label: str, images: np.ndarray) -> None:
    """`images` uint8 [rows, classes, height, width]; black, which is a blank here, where a GAN diverged."""
    axes.imshow(grids.mosaic(images[None]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _title(result: _Result) -> str:
    gan, seeds = result.record["parameters"]["gan"], len(result.record["seeds"])
    counts = f"{seeds} seed{'s' * (seeds != 1)}, {gan['updates']:,} update{'s' * (gan['updates'] != 1)}"
    return f"A plain GAN on K images ({NAMES.get(result.record['dataset'], result.record['dataset'])}), study {result.record['study']}: {counts}"


def _caption(result: _Result, counts: list[int]) -> str:
    quality, record = result.quality, result.record
    other = (
        ""
        if record["dataset"] == "fashion_mnist"
        else f" Ours is not on Fashion-MNIST but on the {record['dataset']}, which need no download."
    )
    floor = (
        f"real images against held-out ones: KID {quality['kid_real'].mean():.2g}, likeness {quality['collapse_real'].mean():.2f}; "
        f"the classifier knows {record['judge_accuracy']:.1%} of held-out images"
    )
    ours = "; ".join(_numbers(quality[quality["images"] == count], count) for count in counts)
    return f"{PAPER}{other} Ours, means over classes and seeds: {ours}; {floor}. Shown: seed {record['seeds'][0]}, black on white. {READING}"


def _numbers(own: pd.DataFrame, count: int) -> str:
    lost, finished = int(own["kid"].isna().sum()), own.dropna(subset="kid")
    told = f", {lost} of {len(own)} diverged" if lost else ""
    if finished.empty:
        return f"K = {count}: every GAN diverged"
    seeds = finished.groupby("seed")["kid"].mean()
    if len(seeds) > 1:
        spread = f"+/- {seed_interval(seeds):.2g} over {len(seeds)} seeds"
    else:
        spread = f"({finished['kid'].min():.2g} to {finished['kid'].max():.2g} over classes)"
    return (
        f"K = {count}: KID {seeds.mean():.2g} {spread}, likeness {finished['collapse'].mean():.2f}, "
        f"nearest {finished['nearest'].mean():.2f} (held-out {finished['nearest_real'].mean():.2f}){told}"
    )
