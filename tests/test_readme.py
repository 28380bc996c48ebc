"""The numbers of README.md and docs/findings.md are those of the runs that they link to, and of the paper's curves."""

import re
from pathlib import Path

import pandas as pd
import pytest

from megan.report import paper_curves

ROOT = Path(__file__).parents[1]
ROW = re.compile(
    r"^\| Fig\. (?P<figure>\d+), (?P<curve>[^|]+) \| (?P<paper>[^|]+) \| (?P<ours>[^|]+) \| "
    r"\[(?P<study>\w+), (?P<variant>\w+)\]\((?P<link>[^)]+)\) \|$",
    re.MULTILINE,
)
ROWS = list(ROW.finditer((ROOT / "README.md").read_text(encoding="utf-8").split("<!-- paper and ours -->")[1]))


def _tested(study: str, variant: str) -> pd.Series:
    table = pd.read_csv(ROOT / "results/record" / study / "tables/accuracy.csv")
    return table[table["variant"] == variant].iloc[0]


@pytest.mark.parametrize("row", ROWS, ids=[row["variant"] for row in ROWS])
def test_each_row_is_of_the_run_and_the_curve_that_it_names(row):
    assert row["link"] == f"results/record/{row['study']}/test/{row['variant']}/record.json"
    assert (ROOT / row["link"]).is_file()
    own = _tested(row["study"], row["variant"])
    assert row["ours"] == f"{100 * own['accuracy']:.1f} +/- {100 * own['ci95_seeds']:.1f} %"
    curve = paper_curves.of(int(row["figure"]), row["variant"])
    last = curve[curve["curve"] == row["curve"]].iloc[-1]
    assert row["paper"] == f"{100 * last['accuracy']:.1f} +/- {100 * last['reading_error']:.1f} %"


def test_every_row_of_the_table_was_read():
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- paper and ours -->")[1].split("\n\n")[0]
    assert len(ROWS) == len(table.strip().splitlines()) - 2 >= 2


def test_findings_of_the_record():
    rows = re.findall(
        r"\]\(\.\./results/record/(\w+)/test/(\w+)/record\.json\)[^|]*\| ([\d.]+) \+/- ([\d.]+) % \|",
        (ROOT / "docs/findings.md").read_text(encoding="utf-8"),
    )
    assert len(rows) >= 3
    for study, variant, accuracy, half in rows:
        own = _tested(study, variant)
        assert (accuracy, half) == (f"{100 * own['accuracy']:.1f}", f"{100 * own['ci95_seeds']:.1f}"), variant
