"""The paper's numbers beside ours, as text."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from megan.config import paths
from megan.config.params import Params
from megan.report import paper_table
from megan.report.inputs import read_table
from megan.report.page.variants import Variant
from megan.report.page.wording import half, percent, points

SPLITS = {"test": "meta-test", "validation": "validation"}


@dataclass(frozen=True)
class Row:
    """The last point of one of the paper's curves, and ours, as `paper_table.build` describes them.

    `ours` is "" if our run has no accuracy near that meta-step; `tested`: the meta-test accuracy of the variant;
    `run`: the folder of its training, beside the page.
    """

    figure: str
    curve: str
    variant: str
    label: str
    paper: str
    ours: str
    difference: str
    spread: str
    inside: str
    tested: str
    run: str


def read(params: Params, variants: list[Variant]) -> list[Row]:
    """One row for each of the paper's curves that belongs to a variant of the study.

    **Raises** `ReportError` if the table, which stage `report` writes beside the figures, is missing.
    """
    table = read_table(paths.figures(params.study) / paper_table.NAME, paper_table.COLUMNS)
    known = {row.name: row for row in variants}
    return [_row(row, known[row["variant"]]) for row in table.to_dict("records") if row["last"]]


def _row(row: dict[str, Any], variant: Variant) -> Row:
    ours = spread = ""
    if not pd.isna(row["ours"]):
        ours = f"{percent(row['ours'])} after {int(row['our_meta_step']):,} ({SPLITS[row['split']]})"
        spread = f"{100 * row['lowest_seed']:.1f} to {percent(row['highest_seed'])}; {half(row['spread'], 1)}"
        spread = spread if row["seeds"] > 1 else "one seed"
    tested = f"{percent(variant.accuracy)} {half(variant.over_seeds, 1)}".strip() if variant.seeds else ""
    return Row(
        figure=str(row["figure"]), curve=str(row["curve"]), variant=variant.name, label=variant.label,
        paper=f"{percent(row['paper'])} ± {100 * row['reading_error']:.1f} after {row['meta_step']:,} updates",
        ours=ours, difference=points(row["difference"], 1), spread=spread,
        inside=row["inside"] if isinstance(row["inside"], str) else "", tested=tested, run=f"train/{variant.name}",
    )  # fmt: skip
