"""Fig. 9: fakes of N+1 with the fully convolutional generator with skip, and with the standard one."""

from pathlib import Path

from matplotlib.figure import Figure

from megan.config.params import Style
from megan.report import captions, curves, grids, style

NAME = "generators"
READS = ("tables", "samples")
VARIANTS = ("n_plus_1_fcn_skip", "n_plus_1_short")
PAPER = (
    "The paper's Fig. 9, by its text: with skip the fakes can be made out, as they are residuals on the support image; without, it is hard to "
    "tell what they are, yet that standard generator is the one that beat MAML."
)


def draw(tables: Path, samples: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, samples, variants), out, NAME)


def build(tables: Path, samples: Path, variants: dict[str, Style]) -> Figure:
    """Grids of each generator's fakes on the same tasks, their distance to what they may copy, and the accuracies."""
    shown = curves.present(VARIANTS, variants)
    accuracy = curves.outcomes(tables, captions.read(tables, shown), shown) if shown else ""
    return grids.compared(
        tables, samples, variants, VARIANTS, "Generators of N+1, with and without skip", PAPER, accuracy
    )
