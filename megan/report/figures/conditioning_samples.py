"""Fig. 8, left: fakes of multi-task without sharing, by what conditions the generator and by its inner step size."""

from pathlib import Path

from matplotlib.figure import Figure

from megan.config.params import Style
from megan.report import grids, style

NAME = "conditioning_samples"
READS = ("tables", "samples")
VARIANTS = ("multi_task_0", "multi_task_slow", "multi_task_label")
PAPER = (
    "The paper's Fig. 8, left, after 1000 meta-steps: real characters, then fakes conditioned on the image (generator's inner step 0.4, then "
    "0.001) and on the label (0.4); by its text they were far more real and stable with the image than with the label, and realistic at 0.4 but not at 0.001."
)


def draw(tables: Path, samples: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, samples, variants), out, NAME)


def build(tables: Path, samples: Path, variants: dict[str, Style]) -> Figure:
    """Grids of real characters and of each generator's fakes on the same tasks."""
    return grids.compared(
        tables, samples, variants, VARIANTS, "What the generator is conditioned on, and its inner step", PAPER
    )
