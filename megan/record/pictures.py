"""The images of fakes that figures show, as PNG in a record: `samples/grids/`, a file for each of the samples' arrays.

A record holds no raw tensors. From these files a figure with variants of several machines is drawn.
"""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from safetensors.numpy import load_file, save_file

from megan.report.figures import FIGURES
from megan.report.figures.samples import Grids
from megan.report.grids import MOST_ROWS

ARRAYS = "grids.safetensors"
FOLDER = "grids"
SHAPE = "shape"  # of the array, as JSON in a text of the PNG
_FAKES = "fakes"


def shown() -> set[str]:
    """The variants whose images a figure shows."""
    return {name for figure in FIGURES.values() if isinstance(figure, Grids) for name in figure.variants}


def write(samples: Path, record: Path) -> None:
    """Write the images of `shown()` in the result of stage `samples` to the `record` of that result."""
    wanted, target = shown(), record / FOLDER
    for key, images in load_file(samples / ARRAYS).items():
        kind, _, name = key.partition("/")
        if name.partition("@")[0] in wanted:
            target.mkdir(exist_ok=True)
            _save(images[:, :MOST_ROWS] if kind == _FAKES else images, target / f"{kind}-{name}.png")


def add(record: Path, samples: Path, kept: Collection[str], seeds: tuple[int | None, int | None]) -> int | None:
    """Add the images of the variants `kept` to the result of stage `samples`; returns the seed of its images.

    **Arguments** `seeds`: of the images in `samples` and in the `record`. If they differ, those of the record are left
    out, because all rows of a figure show the same tasks.
    """
    here, there = seeds
    if there is None or here not in (None, there):
        return here
    found = {}
    for path in sorted((record / FOLDER).glob("*.png")):
        kind, _, name = path.stem.partition("-")
        if name.partition("@")[0] in kept:
            found[f"{kind}/{name}"] = _load(path)
    save_file(load_file(samples / ARRAYS) | found, samples / ARRAYS)
    return there


def _save(images: np.ndarray, path: Path) -> None:
    """[..., height, width] or, in colour, [..., height, width, 3] uint8 -> a column of images."""
    colour = images.shape[-1] == 3
    column = images.reshape(-1, *images.shape[-2:]) if colour else images.reshape(-1, images.shape[-1])
    about = PngImagePlugin.PngInfo()
    about.add_text(SHAPE, json.dumps(images.shape))
    Image.fromarray(column).save(path, optimize=True, pnginfo=about)


def _load(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).reshape(json.loads(image.info[SHAPE]))
