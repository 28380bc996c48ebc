"""Facts that titles and captions give: study, tasks, seeds, training length, and diverged seeds."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from megan.config.params import Style
from megan.report.inputs import broken, read_table

# Sentences that several captions use.
BAND = "The band spans the lowest to the highest seed."
NO_BAND = "A variant with one finished seed has no band."
CROSS = "A dotted line is a seed that diverged; the cross marks the meta-step."
DOTS = "Filled dots are means over the seeds that did not diverge; open dots are single seeds."
AXIS = "The accuracy axis need not start at 0 %."


@dataclass(frozen=True)
class Facts:
    """Read from `accuracy.csv` and `diverged.csv`, for the variants of one figure.

    `table` is `accuracy.csv` indexed by variant; `diverged` has the columns variant, seed,
    meta_step, loss; `shared` holds for most variants ("2 seeds, 800 meta-steps");
    `notes[variant]` says how one variant differs, for example in diverged seeds, else "".
    """

    study: str
    dataset: str
    table: pd.DataFrame
    diverged: pd.DataFrame
    shared: str
    notes: dict[str, str]

    @property
    def where(self) -> str:
        """Study and data set."""
        return f"study {self.study} ({self.dataset})"

    @property
    def tasks_a_seed(self) -> str:
        """Meta-test tasks of one seed; a range if tiers differ; "0" if every seed diverged."""
        finished = self.table[self.table["seeds"] > 0]
        counts = sorted(set(finished["tasks"] // finished["seeds"])) or [0]
        return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"

    @property
    def meta_batch(self) -> int:
        """Tasks of a meta-step."""
        return int(self.table["meta_batch"].iloc[0])

    @property
    def single(self) -> bool:
        """Whether a variant has only one finished seed, and so no band and no interval over seeds."""
        return bool((self.table["seeds"] == 1).any())

    @property
    def short(self) -> str:
        """A sentence of the caption if runs are marked as short, else ""."""
        return (
            " Short runs have fewer training tasks than a verdict on a claim needs."
            if self.table["short"].any()
            else ""
        )

    def label(self, variant: str, name: str) -> str:
        """`name`, and on a second line how the variant differs from the others."""
        return f"{name}\n({self.notes[variant]})" if self.notes[variant] else name


def read(tables: Path, variants: dict[str, Style]) -> Facts:
    """Raises `ReportError` when a table is missing or lacks one of `variants`."""
    path = tables / "accuracy.csv"
    columns = [
        "study",
        "dataset",
        "variant",
        "seeds",
        "diverged",
        "tasks",
        "accuracy",
        "ci95_tasks",
        "ci95_seeds",
        "meta_steps",
        "meta_batch",
        "short",
        "tier",
    ]
    table = read_table(path, columns).set_index("variant")
    absent = [variant for variant in variants if variant not in table.index]
    if absent:
        raise broken(path, f"has no row of the variant {absent[0]!r}")
    table = table.loc[list(variants)]
    diverged = read_table(tables / "diverged.csv", ["variant", "seed", "meta_step", "loss"])
    diverged = diverged[diverged["variant"].isin(list(variants))]

    planned = table["seeds"] + table["diverged"]
    parts = [
        [_count(n, "seed") for n in planned],
        [
            "short run of " * bool(short) + _count(n, "meta-step")
            for n, short in zip(table["meta_steps"], table["short"], strict=True)
        ],
    ]
    usual = [Counter(texts).most_common(1)[0][0] for texts in parts]  # the first of equally common ones
    notes = {}
    for position, variant in enumerate(variants):
        own = [texts[position] for texts, common in zip(parts, usual, strict=True) if texts[position] != common]
        lost = diverged.loc[diverged["variant"] == variant, "seed"].tolist()
        if lost:
            own.append(
                "every seed diverged"
                if len(lost) == planned[variant]
                else f"seed{'s' * (len(lost) > 1)} {', '.join(map(str, lost))} diverged"
            )
        notes[variant] = ", ".join(own)
    unless = " unless noted" if any(len(set(texts)) > 1 for texts in parts) else ""
    study, dataset = (str(table[key].iloc[0]) for key in ("study", "dataset"))
    return Facts(study, dataset, table, diverged, ", ".join(usual) + unless, notes)


def title(facts: Facts, subject: str) -> str:
    return f"{subject}, {facts.where}: {facts.shared}"


def listed(styles: dict[str, Style]) -> str:
    """The labels of the variants as one phrase, or the number of variants if they are many."""
    return "; ".join(own.label for own in styles.values()) if len(styles) <= 8 else f"{len(styles)} variants"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
