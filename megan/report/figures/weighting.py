"""Fig. 5: how the weight of the fakes and the inner step that lets them in change N+1."""

from pathlib import Path

from matplotlib.figure import Figure

from megan.config.params import Style
from megan.report import curves, style

NAME = "weighting"
VARIANTS = ("maml", "n_plus_1_equal", "n_plus_1_weighted", "n_plus_1")
PAPER = (
    "The paper's Fig. 5, by its text: with equal weight the fakes inhibited N+1's training; weighing reals 3:1 helped, letting fakes in "
    "after 3 of 5 inner steps helped more, and the differences were large."
)


def draw(tables: Path, out: Path, variants: dict[str, Style]) -> None:
    style.save(build(tables, variants), out, NAME)


def build(tables: Path, variants: dict[str, Style]) -> Figure:
    """Validation accuracy against meta-steps; MAML, then N+1 from the plainest to the final."""
    return curves.compared(tables, variants, VARIANTS, "Weight and schedule of the fakes", PAPER)
