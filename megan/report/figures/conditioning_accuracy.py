"""Fig. 8, right: accuracy of multi-task without sharing, by what conditions the generator and by its inner step size."""

from pathlib import Path

from matplotlib.figure import Figure

from megan.config.params import Style
from megan.report import curves, style

NAME = "conditioning_accuracy"
VARIANTS = ("multi_task_0", "multi_task_slow", "multi_task_label")
PAPER = (
    "The paper's Fig. 8, right: classification accuracies of the classifiers trained with the fakes of Fig. 8, left; by its text generators "
    "with less noisy fakes helped the classifier more."
)


def draw(tables: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, variants), out, NAME)


def build(tables: Path, variants: dict[str, Style]) -> Figure:
    """Validation accuracy against meta-steps of the three systems of Fig. 8."""
    return curves.compared(tables, variants, VARIANTS, "Conditioning of the generator, and its inner step", PAPER)
