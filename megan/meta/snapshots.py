"""Weights at given meta-steps, in one file: `STEP/NAME`, each [seeds, ...].

Training writes them and does not read them. Meta-test scores them, so a curve over training shows meta-test tasks.
"""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from megan.models.initial import Weights

FILE = "snapshots.safetensors"


def named(weights: Weights, step: int) -> dict[str, Tensor]:
    """Copies of `weights` on the CPU, under the names that the file has."""
    return {f"{step}/{name}": value.detach().cpu().clone() for name, value in weights.items()}


def read(folder: Path) -> dict[int, Weights]:
    """The weights of each meta-step, in order, from the folder of a training result; empty if it kept none."""
    found: dict[int, Weights] = {}
    if (folder / FILE).is_file():
        for name, value in load_file(folder / FILE).items():
            step, _, weight = name.partition("/")
            found.setdefault(int(step), {})[weight] = value
    return dict(sorted(found.items()))
