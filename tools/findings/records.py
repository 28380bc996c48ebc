"""Committed records, as the blocks of the findings read them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from megan.config import paths
from megan.report.inputs import read_table
from megan.report.page.wording import half, percent, points
from megan.report.statistics import seed_interval

ROOT = Path(__file__).parents[2]
# The records of the project, in the order of tables. One of a study of one's own is not part of the findings.
ORDER = ("text", "code", "code_more", "anchor", "search", "mini_imagenet_cpu", "omniglot_2500")
REPLICATION = "code"  # has claims of its own, in the settings of the authors' code
MORE = "code_more"  # further variants in these settings, run on another machine
PILOT = "omniglot_2500"  # shown as the answer until there is a record of study `text`
PAIR = ("maml", "n_plus_1")
CHOSEN = ("maml_searched", "n_plus_1_searched")  # the pair with the step sizes of the search


@dataclass(frozen=True)
class Record:
    """A committed record. `here`: the way to its folder from the file that is written."""

    folder: Path
    here: str
    manifest: dict[str, Any]

    @property
    def study(self) -> str:
        return str(self.manifest["study"])

    @property
    def page(self) -> str:
        return f"[{self.study}]({self.here})"

    @property
    def meta_batch(self) -> int:
        """Tasks of a meta-step."""
        return int(self.settings["train"]["meta_batch"])

    @property
    def dataset(self) -> str:
        return str(self.settings["data"]["dataset"])

    @property
    def settings(self) -> dict[str, Any]:
        """Of the study, without those of its variants."""
        return self._params["studies"][self.study]

    @property
    def variants(self) -> dict[str, Any]:
        """The settings of each variant of the study, also of those that were not run."""
        return self._params["variants"]

    @property
    def _params(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "params.yaml").read_text(encoding="utf-8"))

    @property
    def decided(self) -> dict[str, Any]:
        """`claims`, each with its parts and their values by seed, and `rules`, the constants that decided them."""
        return json.loads((self.folder / "claims/claims.json").read_text(encoding="utf-8"))

    @property
    def rules(self) -> dict[str, Any]:
        return self.decided["rules"]

    def claim(self, number: str) -> dict[str, Any]:
        """A claim with its parts. Raises `StopIteration` if the record does not have it."""
        return next(one for one in self.decided["claims"] if one["claim"] == number)

    def table(self, name: str) -> pd.DataFrame | None:
        """A table by its name in the record, as `tables/seeds`; None if the record has none."""
        path = self.folder / f"{name}.csv"
        return read_table(path, []) if path.is_file() else None

    def run(self, variant: str) -> str:
        """A link to the record of a variant's training."""
        return f"[{self.study}, train/{variant}]({self.here}/train/{variant}/record.json)"


def records(file: str) -> list[Record]:
    """The records of the project, in the order of tables. `file`: the one whose links are relative to it."""
    up = "../" * file.count("/")
    found = []
    for study in ORDER:
        folder = ROOT / paths.RECORD / study
        if (folder / "MANIFEST.json").is_file():
            manifest = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
            found.append(Record(folder, f"{up}{paths.RECORD.as_posix()}/{study}", manifest))
    return found


def main_record(found: list[Record]) -> Record:
    """The record that decides the claims: that of study `text`, or the pilot until there is one."""
    return next(one for name in (ORDER[0], PILOT) for one in found if one.study == name and _has_claims(one))


def _has_claims(record: Record) -> bool:
    return record.table("claims/claims") is not None


def of_the_paper(found: list[Record]) -> list[Record]:
    """Records of the data set that decides the claims."""
    return [record for record in found if record.dataset == main_record(found).dataset]


def of_the_pair(found: list[Record], name: str) -> Iterator[tuple[Record, pd.DataFrame]]:
    """The records of the paper's data set whose table `name` has both MAML and N+1, with that table."""
    for record in of_the_paper(found):
        table = record.table(name)
        if table is not None and set(PAIR) <= set(table["variant"]):
            yield record, table


def by_seed(table: pd.DataFrame, pair: tuple[str, str] = PAIR) -> tuple[pd.DataFrame, pd.Series]:
    """Accuracy by seed and variant, and the second minus the first of the pair for each seed that both have."""
    wide = table.pivot(index="seed", columns="variant", values="accuracy")
    return wide, (wide[pair[1]] - wide[pair[0]]).dropna()


def at_meta_steps(snapshots: pd.DataFrame, pair: tuple[str, str] = PAIR) -> list[list[str]]:
    """Meta-step, accuracy of each of the pair, and their difference, at the meta-steps whose weights were kept."""
    own = snapshots[snapshots["variant"].isin(pair)]  # other variants may have kept weights of other meta-steps
    rows = []
    for step, at in own.groupby("meta_step"):
        wide, difference = by_seed(at, pair)
        rows.append([f"{step:,}", *(percent(wide[name].mean()) for name in pair), over_seeds(difference)])
    return rows


def mean_kid(record: Record, realism: pd.DataFrame) -> pd.Series:
    """The geometric mean of KID over seeds, by variant. `realism`: the record's table of that name."""
    kid = realism["kid"].clip(lower=record.rules["kid_floor"])
    return np.log(kid).groupby(realism["variant"]).mean().map(np.exp)


def over_seeds(difference: pd.Series) -> str:
    """The mean of a difference by seed and its 95 % interval over seeds, in points; seeds without one are left out."""
    known = difference.dropna()
    return f"{points(known.mean())} {half(seed_interval(known.tolist()))}"


def table_of(head: list[str], rows: list[list[Any]]) -> list[str]:
    """A table of Markdown; a sentence if no record has a row of it."""
    if not rows:
        return ["No record has this yet."]
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "/").strip() for cell in line) + " |" for line in lines]
