"""Fig. 6: what the outer loss sees, real query images, fakes too, or the generator fooling the classifier."""

from pathlib import Path

from matplotlib.figure import Figure

from megan.config.params import Style
from megan.report import curves, style

NAME = "outer_losses"
VARIANTS = ("maml", "n_plus_1", "n_plus_1_real_fake", "n_plus_1_hybrid")
PAPER = (
    "The paper's Fig. 6, by its text: the outer loss on real images alone (grey) ended slightly above MAML (red) "
    "and was the best of the three; real+fake is orange, hybrid blue."
)


def draw(tables: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, variants), out, NAME)


def build(tables: Path, variants: dict[str, Style]) -> Figure:
    """Validation accuracy against meta-steps; colours as in the paper, from `styles`."""
    return curves.compared(tables, variants, VARIANTS, "Outer losses", PAPER)
