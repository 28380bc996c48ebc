"""The paper's curves. `paper_figures.csv` holds points that were read off the pictures of its figures."""

from pathlib import Path

import pandas as pd

from megan.report.inputs import read_table

PATH = Path(__file__).with_name("paper_figures.csv")
COLUMNS = ["figure", "curve", "variant", "meta_step", "accuracy", "reading_error", "source"]
READ_OFF = (
    "Dotted lines with crosses are the paper's curves, read off its figure; its accuracies are of test characters."
)


def read() -> pd.DataFrame:
    """Columns figure (a number), curve (the paper's name), variant (ours; empty if none belongs to it), meta_step
    (outer updates of 32 tasks), accuracy and its reading_error (shares from 0 to 1), source.
    """
    return read_table(PATH, COLUMNS)


def of(figure: int, variant: str) -> pd.DataFrame:
    """The points of one variant in one figure of the paper, by meta-step; none if the figure does not show it."""
    table = read()
    return table[(table["figure"] == figure) & (table["variant"] == variant)].sort_values("meta_step")
