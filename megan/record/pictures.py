"""Images of the fakes of variants that were not run here, from a record of them.

A record holds no raw tensors. What the gallery of its page shows is read from the page. Images of the figures are in
`samples/grids/` as PNG, a file for each of the samples' arrays, because figures have all greys and more real images.
"""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from safetensors.numpy import load_file, save_file

from megan.record import pages
from megan.report.figures import FIGURES
from megan.report.figures.samples import Grids
from megan.report.grids import MOST_ROWS
from megan.report.page import gallery
from megan.runs import progress, result

ARRAYS = "grids.safetensors"
FOLDER = "grids"
SHAPE = "shape"  # of the array, as JSON in a text of the PNG
_FAKES = "fakes/"


def shown(key: str) -> bool:
    """Whether a figure shows the images of this key.

    A figure of fakes at a meta-step shows the final ones of a variant whose weights were not kept there.
    """
    variant, _, moment = key.partition("/")[2].partition("@")
    figures = [one for one in FIGURES.values() if isinstance(one, Grids) and variant in one.variants]
    return any(moment in ("", str(figure.snapshot)) for figure in figures)


def write(samples: Path, record: Path) -> None:
    """Write the images that figures show, of the result of stage `samples`, to the `record` of that result."""
    target = record / FOLDER
    for key, images in load_file(samples / ARRAYS).items():
        if shown(key):
            target.mkdir(exist_ok=True)
            drawn = images[:, :MOST_ROWS] if key.startswith(_FAKES) else images
            _save(drawn, target / f"{key.replace('/', '-', 1)}.png")


def add(record: Path, samples: Path, kept: Collection[str], side: int) -> None:
    """Add the images of the variants `kept`, as far as the record has them, to the result of stage `samples`.

    All images are of the tasks of one seed. If the two have images of different seeds, those of `samples` are left out
    and not those of the record, since they can be made again.

    **Arguments** `record`: the folder of a record; `side` of an image, in pixels.
    """
    known, about = (result.load(folder) for folder in (record / samples.name, samples))
    mine = load_file(samples / ARRAYS)
    if known["seed"] is not None and about["seed"] not in (None, known["seed"]):
        progress.say(
            f"record: its images are of seed {known['seed']}, and of the variants here most have seed"
            f" {about['seed']}; images of {', '.join(about['variants'])} are left out"
        )
        mine = {name: images for name, images in mine.items() if "/" not in name}
    found = _of_page(record / pages.NAME, side, known["data"]["ink"]) | _of_files(record / samples.name / FOLDER)
    mine |= {name: images for name, images in found.items() if _variant(name) in kept}
    save_file({name: np.ascontiguousarray(images) for name, images in mine.items()}, samples / ARRAYS)


def _variant(key: str) -> str:
    """`fakes/NAME@1000` -> `NAME`."""
    return key.partition("/")[2].partition("@")[0]


def _of_page(page: Path, side: int, ink: bool) -> dict[str, np.ndarray]:
    """The images of a page as stage `samples` has them. `ink`: whether 255 is ink there, as it is on the page."""
    text = pages.with_images(page.read_text(encoding="utf-8")) if page.is_file() else ""
    found = gallery.arrays(text, side)
    return found if ink else {name: 255 - images for name, images in found.items()}


def _of_files(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem.replace("-", "/", 1): _load(path) for path in sorted(folder.glob("*.png"))}


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
