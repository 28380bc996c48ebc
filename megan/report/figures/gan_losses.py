"""Fig. 10: nothing shared between classifier and discriminator, under each GAN loss."""

from pathlib import Path

from matplotlib.figure import Figure

from megan.config.params import Style
from megan.report import curves, style

NAME = "gan_losses"
VARIANTS = ("maml_short", "multi_task_vanilla", "multi_task_0", "multi_task_wasserstein", "multi_task_gradient_penalty")
PAPER = (
    "The paper's Fig. 10, by its text: without shared weights, the best generator over all GAN losses still harmed the classifier, "
    "which stayed below MAML. Ours shows each loss; multi_task_0 has the non-saturating one."
)


def draw(tables: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, variants), out, NAME)


def build(tables: Path, variants: dict[str, Style]) -> Figure:
    """Validation accuracy against meta-steps of multi-task with two networks, MAML of the same length beside it."""
    return curves.compared(tables, variants, VARIANTS, "GAN losses without shared weights", PAPER)
