"""The table of all variants, and the accuracies of the first chart."""

from dataclasses import dataclass

import pandas as pd

from megan.config import paths
from megan.config.params import Params
from megan.report.inputs import read_table
from megan.report.page.scales import Linear, around
from megan.report.page.wording import half, percent, points

ACCURACY = [
    "dataset", "variant", "label", "tier", "seeds", "diverged", "tasks", "accuracy", "ci95_seeds", "ci95_tasks",
    "meta_steps", "short",
]  # fmt: skip
REFERENCE = "maml"


@dataclass(frozen=True)
class Variant:
    """One variant: its numbers (shares from 0 to 1, NaN if there is none) and their texts.

    `difference` is to MAML on common tasks, in shares; NaN if the lengths differ.
    """

    name: str
    label: str
    colour: str
    tier: str
    approach: str
    accuracy: float
    over_seeds: float
    over_tasks: float
    difference: float
    difference_half: float
    seeds: int
    diverged: int
    meta_steps: int
    short: bool
    by_seed: tuple[float, ...]

    @property
    def accuracy_text(self) -> str:
        return percent(self.accuracy, 2) if self.seeds else "every seed diverged"

    @property
    def over_seeds_text(self) -> str:
        return half(self.over_seeds)

    @property
    def over_tasks_text(self) -> str:
        return half(self.over_tasks)

    @property
    def difference_text(self) -> str:
        return f"{points(self.difference)} {half(self.difference_half)}".strip()

    @property
    def interval(self) -> tuple[float, float]:
        """95 % over seeds; NaN twice with fewer than two."""
        return self.accuracy - self.over_seeds, self.accuracy + self.over_seeds


def read(params: Params) -> list[Variant]:
    """The variants of `params`, in their order. Raises `ReportError` if a table is missing or damaged."""
    tables = paths.tables(params.study)
    table = read_table(tables / "accuracy.csv", ACCURACY).set_index("variant")
    differences = read_table(
        tables / "comparisons.csv", ["variant", "difference", "ci95_seeds", "meta_steps", "reference_meta_steps"]
    )
    alike = differences[differences["meta_steps"] == differences["reference_meta_steps"]].set_index("variant")
    seeds = read_table(tables / "seeds.csv", ["variant", "seed", "accuracy"])
    rows = []
    for name in (name for name in params.variants if name in table.index):
        row, options = table.loc[name], params.variants[name]
        paired = alike.loc[name] if name in alike.index else pd.Series({"difference": float("nan")})
        rows.append(
            Variant(
                name=name, label=str(row["label"]), colour=options.colour, tier=str(row["tier"]),
                approach=options.approach, accuracy=float(row["accuracy"]), over_seeds=float(row["ci95_seeds"]),
                over_tasks=float(row["ci95_tasks"]), difference=float(paired["difference"]),
                difference_half=float(paired.get("ci95_seeds", float("nan"))), seeds=int(row["seeds"]),
                diverged=int(row["diverged"]), meta_steps=int(row["meta_steps"]), short=bool(row["short"]),
                by_seed=tuple(seeds.loc[seeds["variant"] == name, "accuracy"]),
            )
        )  # fmt: skip
    return rows


def compared(rows: list[Variant]) -> list[Variant]:
    """Those that the first chart shows: the variants as long as the reference, or else of the first one's length."""
    reference = next((row for row in rows if row.name == REFERENCE), rows[0])
    return [row for row in rows if row.meta_steps == reference.meta_steps and row.seeds]


def axis(rows: list[Variant]) -> Linear:
    """An axis that holds the means, intervals and single seeds of `rows`.

    Intervals over two seeds can be wider than 0 to 100 %. They are cut, so that the means can be told apart.
    """
    values = [value for row in rows for value in (row.accuracy, *row.by_seed)]
    spread = max(values, default=0.0) - min(values, default=0.0)
    for row in rows:
        values += [bound for bound in row.interval if abs(bound - row.accuracy) <= 3 * max(spread, 0.01)]
    return around(values)
