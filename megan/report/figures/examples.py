"""Fig. 3: examples of the data set, one row for each alphabet."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from megan.config.params import Style
from megan.report import captions, grids, picture, style
from megan.report.inputs import broken, read_json
from megan.report.picture import Picture

PAPER = "The paper's Fig. 3 shows characters of Omniglot, two of them of the same class."
OURS = (
    "In our figure a row shows one image each of several classes of meta-training; if classes have alphabets, of one"
    " alphabet. The last image of a row is a second image of its first class."
)


def build(tables: Path, samples: Path, styles: dict[str, Style]) -> Picture:
    """A row shows one image of each of several classes, and at its end a second image of the first."""
    facts, images = captions.read(tables, styles), grids.read(samples)
    names = read_json(samples / "record.json", ["alphabets"])["alphabets"]
    if "examples" not in images or len(names) != len(images["examples"]) or not names:
        raise broken(samples / "grids.safetensors", "holds no examples of the alphabets that its record names")
    examples = images["examples"]
    with style.theme():
        columns, height, width = examples.shape[1:4]
        figure = Figure(figsize=(style.PAGE, 0.3 + 6.4 * len(names) * height / (columns * width)), layout="constrained")
        stacked = figure.subplots(len(names), 1, squeeze=False)[:, 0]
        for axes, name, row in zip(stacked, names, examples, strict=True):
            _row(axes, style.wrapped(name.replace("_", " "), 24), row)
        title = f"Classes of {facts.where}"
        alt = f"Grid of images by class, one row for each of {', '.join(names).replace('_', ' ')}."
        return picture.described(figure, title, f"{PAPER} {OURS}", alt)


def _row(axes: Axes, label: str, images: np.ndarray) -> None:
    """`images` uint8 [images, side, side], in colour with channels; the last stands apart."""
    end = len(images)
    grids.show(axes, grids.mosaic(images[None, None, :-1]), extent=(0, end - 1, 0, 1))
    grids.show(axes, grids.mosaic(images[None, None, -1:]), extent=(end - 0.6, end + 0.4, 0, 1))
    axes.set(xlim=(0, end + 0.4), ylim=(0, 1))
    grids.label(axes, label)
