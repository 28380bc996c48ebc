"""The paper's numbers beside ours."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from megan.config import paths
from megan.config.params import Params
from megan.report import paper_curves, statistics
from megan.report.inputs import read_table
from megan.report.page.variants import Variant
from megan.report.page.wording import half, percent, points

SPLITS = {"test": "meta-test", "validation": "validation"}


@dataclass(frozen=True)
class Row:
    """The last point of one of the paper's curves, and our accuracy near that meta-step: of meta-test, if training
    kept its weights there, else of validation.

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


def read(params: Params, variants: list[Variant]) -> list[Row]:
    """One row for each of the paper's curves that belongs to a variant of the study."""
    table = paper_curves.read()
    ours = _ours(paths.tables(params.study))
    known = {row.name: row for row in variants}
    rows = []
    for (figure, curve), points_of_curve in table.groupby(["figure", "curve"], sort=False):
        last = points_of_curve.sort_values("meta_step").iloc[-1]
        if last["variant"] in known:
            rows.append(_row(str(figure), str(curve), last, known[last["variant"]], ours))
    return rows


def _ours(tables: Path) -> pd.DataFrame:
    """Our accuracies over training: meta-test of kept weights (`split` is `test`) and validation."""
    keys = ["variant", "seed", "meta_step", "accuracy"]
    curves = read_table(tables / "curves.csv", [*keys, "split"])
    kept = read_table(tables / "snapshots.csv", keys).assign(split="test")
    validation = curves.loc[curves["split"] == "validation", [*keys, "split"]]
    return pd.concat([kept[[*keys, "split"]], validation]) if len(kept) else validation


def _row(figure: str, curve: str, last: pd.Series, variant: Variant, curves: pd.DataFrame) -> Row:
    wanted, error = int(last["meta_step"]), float(last["reading_error"])
    paper = f"{percent(last['accuracy'])} ± {100 * error:.1f} after {wanted:,} updates"
    own = curves[curves["variant"] == variant.name].dropna(subset=["accuracy"])
    moments = own[["meta_step", "split"]].drop_duplicates().itertuples(index=False)
    near = [(abs(step - wanted), split != "test", step, split) for step, split in moments]
    _, _, nearest, split = min(near, default=(0, False, 0, ""))
    ours = difference = inside = ""
    if abs(nearest - wanted) <= wanted / 2:
        values = own.loc[(own["meta_step"] == nearest) & (own["split"] == split), "accuracy"]
        spread = statistics.seed_interval(values)
        ours = f"{percent(values.mean())} {half(spread, 1)} after {nearest:,} ({SPLITS[split]})".replace("  ", " ")
        difference = points(values.mean() - last["accuracy"], 1)
        if not math.isnan(spread):
            inside = "yes" if abs(values.mean() - last["accuracy"]) <= spread + error else "no"
    tested = f"{percent(variant.accuracy)} {half(variant.over_seeds, 1)}".strip() if variant.seeds else ""
    return Row(figure, curve, variant.name, variant.label, paper, ours, difference, inside, tested)
