"""The paper's numbers beside ours."""

import math
from dataclasses import dataclass

import pandas as pd

from megan.config import paths
from megan.config.params import Params
from megan.report import paper_curves, statistics
from megan.report.inputs import read_table
from megan.report.page.variants import Variant
from megan.report.page.wording import half, percent, points


@dataclass(frozen=True)
class Row:
    """The last point of one of the paper's curves, and our validation accuracy near that meta-step.

    `inside`: "yes" if the difference is within our interval over seeds and the reading error, "no" if
    not, "" if we have no interval. `ours` is "" if our run ended before half of the paper's.
    """

    figure: str
    curve: str
    variant: str
    label: str
    paper: str
    ours: str
    difference: str
    inside: str
    tested: str
    note: str


def read(params: Params, variants: list[Variant]) -> list[Row]:
    """One row for each of the paper's curves that belongs to a variant of the study."""
    table = paper_curves.read()
    curves = read_table(
        paths.tables(params.study) / "curves.csv", ["variant", "seed", "meta_step", "split", "accuracy"]
    )
    curves = curves[curves["split"] == "validation"]
    known = {row.name: row for row in variants}
    rows = []
    for (figure, curve), points_of_curve in table.groupby(["figure", "curve"], sort=False):
        last = points_of_curve.sort_values("meta_step").iloc[-1]
        if last["variant"] in known:
            rows.append(_row(str(figure), str(curve), last, known[last["variant"]], curves))
    return rows


def _row(figure: str, curve: str, last: pd.Series, variant: Variant, curves: pd.DataFrame) -> Row:
    wanted, error = int(last["meta_step"]), float(last["reading_error"])
    paper = f"{percent(last['accuracy'])} ± {100 * error:.1f} after {wanted:,} updates"
    own = curves[curves["variant"] == variant.name].dropna(subset=["accuracy"])
    steps = own["meta_step"].unique()
    nearest = min(steps, key=lambda step: (abs(step - wanted), step), default=0)
    ours = difference = inside = ""
    if abs(nearest - wanted) <= wanted / 2:
        values = own.loc[own["meta_step"] == nearest, "accuracy"]
        spread = statistics.seed_interval(values)
        ours = f"{percent(values.mean())} {half(spread, 1)} after {nearest:,}".replace("  ", " ")
        difference = points(values.mean() - last["accuracy"], 1)
        if not math.isnan(spread):
            inside = "yes" if abs(values.mean() - last["accuracy"]) <= spread + error else "no"
    tested = f"{percent(variant.accuracy)} {half(variant.over_seeds, 1)}".strip() if variant.seeds else ""
    note = "" if ours else f"our run has no validation near {wanted:,} updates"
    return Row(figure, curve, variant.name, variant.label, paper, ours, difference, inside, tested, note)
