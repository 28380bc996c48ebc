"""Categories, labels and captions of what `snakemake --report` shows. They come from where they are stated already."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from megan.config import paths
from megan.report import tables

# By the last part of an output's path: arguments of Snakemake's flag `report`. {file} is a file in a folder.
KINDS: dict[str, dict[str, Any]] = {
    "report.html": {"category": "1. Page", "labels": {"file": "report page"}},
    "claims": {"category": "2. Claims", "patterns": ["{file}.csv"], "labels": {"table": "{file}"}},
    "figures": {"category": "3. Figures", "patterns": ["{file}.png"], "labels": {"figure": "{file}"}},
    "tables": {"category": "4. Tables", "patterns": ["{file}.csv"], "labels": {"table": "{file}"}},
}
PAGE = "The report page: the answer, the verdicts, curves, fakes, and a table of all variants."
CLAIMS = "One row for each claim, with its verdict and the numbers that decide it; docs/claims.md has the rules."


def read(stage: str, study: str, wildcards: object) -> dict[str, str]:
    """The caption of each file of a stage that the report shows, as reStructuredText; "" is that of a single file."""
    if stage == "report":
        found = {"": PAGE}
        for file in paths.figures(study).glob("*.png"):
            words = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
            found[file.stem] = f"{words['title']}\n\n{words['caption']}"
    elif stage == "summary":
        found = {file.stem: _of_table(file) for file in paths.tables(study).glob("*.csv")}
    else:
        found = {"claims": CLAIMS}
    return {name: _plain(text) for name, text in found.items()}


def _of_table(file: Path) -> str:
    """What the function says that makes the table; of a table that is only collected, its columns."""
    made = getattr(tables, file.stem, None)
    if callable(made):
        return inspect.getdoc(made) or ""
    with open(file, encoding="utf-8") as lines:
        return f"Columns: {lines.readline().strip().replace(',', ', ')}."


def _plain(text: str) -> str:
    """Without the marks that reStructuredText would read: names such as n_plus_1 stay as they are."""
    return re.sub(r"([*`_|\\])", r"\\\1", text)
