"""Fig. 3: examples of the data set, a row an alphabet."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from megan.config.params import Style
from megan.report import captions, grids, style
from megan.report.inputs import broken, read_json

NAME = "examples"
READS = ("tables", "samples")
PAPER = "The paper's Fig. 3 shows characters of Omniglot, two of them of the same class."


def draw(tables: Path, samples: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, samples, variants), out, NAME)


def build(tables: Path, samples: Path, variants: dict[str, Style]) -> Figure:
    """One drawing of each of several characters, and at the end of a row another of its first."""
    facts, images = captions.read(tables, variants), grids.read(samples)
    names = read_json(samples / "record.json", ["alphabets"])["alphabets"]
    if "examples" not in images or len(names) != len(images["examples"]) or not names:
        raise broken(samples / "grids.safetensors", "holds no examples of the alphabets that its record names")
    examples = images["examples"]
    with style.theme():
        height, width = examples.shape[2:]
        figure = Figure(
            figsize=(9, 1.2 + 7.2 * len(names) * height / (examples.shape[1] * width)), layout="constrained"
        )
        for axes, name, row in zip(figure.subplots(len(names), 1, squeeze=False)[:, 0], names, examples):
            axes.imshow(
                grids.mosaic(np.stack([row[None, :-1]])),
                cmap="gray",
                vmin=0,
                vmax=255,
                interpolation="nearest",
                extent=(0, len(row) - 1, 0, 1),
            )
            axes.imshow(
                grids.mosaic(row[None, None, -1:]),
                cmap="gray",
                vmin=0,
                vmax=255,
                interpolation="nearest",
                extent=(len(row) - 0.6, len(row) + 0.4, 0, 1),
            )
            axes.set(xlim=(0, len(row) + 0.4), ylim=(0, 1), xticks=[], yticks=[])
            axes.set_ylabel(style.wrapped(name.replace("_", " "), 24), rotation=0, ha="right", va="center", fontsize=8)
            axes.grid(visible=False)
            for spine in axes.spines.values():
                spine.set_visible(False)
        caption = f"{PAPER} Ours: one drawing of each character, from alphabets of meta-training; the last of a row is another drawing of its first character."
        style.headings(figure, f"Characters of study {facts.study}", caption)
    return figure
