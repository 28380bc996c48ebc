"""The paper's curves. `paper_figures.csv` holds points that were read off the pictures of its figures."""

from pathlib import Path

import pandas as pd

from megan.report.inputs import read_table

PATH = Path(__file__).with_name("paper_figures.csv")
META_BATCH = 32  # tasks of an outer update, by the authors' code
COLUMNS = ["figure", "curve", "variant", "meta_step", "accuracy", "reading_error", "source"]
READ_OFF = (
    "Dotted lines with crosses are the paper's curves, read off its figure, against training tasks: one of its updates"
    " has 32. Its accuracies are of test characters. Each is of one run."
)
UNMATCHED = " Grey ones belong to no variant of ours here."


def read() -> pd.DataFrame:
    """Columns figure (a number), curve (the paper's name), variant (names of ours that belong to it, "" if none does),
    meta_step (outer updates of 32 tasks), accuracy and its reading_error (shares from 0 to 1), source.
    """
    table = read_table(PATH, COLUMNS)
    return table.assign(variant=table["variant"].fillna(""))


def of(figure: int) -> dict[str, pd.DataFrame]:
    """The points of each curve in one figure of the paper, by meta-step."""
    table = read()
    own = table[table["figure"] == figure]
    return {str(curve): points.sort_values("meta_step") for curve, points in own.groupby("curve", sort=False)}


def as_ours(meta_step: float, meta_batch: int) -> float:
    """Our meta-steps, of `meta_batch` tasks each, with as many training tasks as `meta_step` updates of the paper."""
    return meta_step * META_BATCH / meta_batch


def owner(points: pd.DataFrame, known: list[str]) -> str:
    """The first of our variants `known` that a curve of the paper belongs to; "" if none does."""
    return next((name for name in str(points["variant"].iloc[0]).split() if name in known), "")
