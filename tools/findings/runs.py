"""Blocks about the runs: the studies and what they took, and other data sets."""

import json
from typing import Any

import pandas as pd

from megan.report.page.wording import half, percent
from tools.findings.records import Record, of_the_paper, table_of

PARTS = ("encoder", "judge", "train", "test", "gan", "samples")  # stages that have hours in the table


def studies(found: list[Record]) -> list[str]:
    """What each study has, and the hours of two cores of its stages."""
    rows = []
    for record in found:
        left = record.manifest.get("not_run", [])
        state = f"provisional, {len(left)} left" if record.manifest.get("provisional") else "complete"
        trained = len(list(record.folder.glob("train/*/record.json")))
        hours = _hours(record)
        parts = [f"{hours[part]:.2f}" if part in hours else "" for part in PARTS]
        made, _, changes = record.manifest.get("commit", "").partition("+")
        commit = f"`{made[:10]}{'+' if changes else ''}{changes}`"
        rows.append([record.page, state, trained, *parts, f"{sum(hours.values()):.1f}", commit])
    return table_of(["study", "state", "variants", *(f"{part}, h" for part in PARTS), "all, h", "commit"], rows)


def tiers(found: list[Record]) -> list[str]:
    """The hours of two cores for training and test, by tier, of the studies that have several."""
    rows = []
    for record in found:
        took = _took(record)
        trained: dict[str, list[str]] = {}
        for variant, how in record.variants.items():
            if f"train-{variant}" in took and "tier" in how:
                trained.setdefault(how["tier"], []).append(variant)
        for name, members in trained.items() if len(trained) > 1 else []:
            length = record.settings["tiers"][name]
            hours = [sum(took.get(f"{stage}-{one}", 0) for one in members) for stage in ("train", "test")]
            runs = f"{len(length['seeds'])} x {length['meta_steps']:,}"
            rows.append([record.page, name, len(members), runs, *(f"{some:.2f}" for some in hours)])
    return table_of(["study", "tier", "variants", "seeds x meta-steps", "train, h", "test, h"], rows)


def _hours(record: Record) -> dict[str, float]:
    """Hours of two cores by kind of stage."""
    parts: dict[str, float] = {}
    for stage, hours in _took(record).items():
        part = stage.partition("-")[0]
        parts[part] = parts.get(part, 0) + hours
    return parts


def _took(record: Record) -> dict[str, float]:
    """Hours of two cores by stage, as `train-maml`, from the provenance."""
    took = {}
    for path in sorted((record.folder / "provenance").glob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        took[path.stem] = told.get("wall_seconds", 0) * told.get("threads", 1) / 2 / 3600
    return took


def other_data(found: list[Record]) -> list[str]:
    """Every variant of the records of other data sets. The error is over tasks: these runs may have one seed."""
    rows = []
    for record in found:
        table = record.table("tables/accuracy")
        if table is None or record in of_the_paper(found):
            continue
        for row in table.itertuples():
            accuracy = f"{percent(row.accuracy)} {half(row.ci95_tasks, 1)}"
            rows.append([row.dataset, row.label, f"{row.meta_steps:,}", row.seeds, accuracy, record.run(row.variant)])
    head = ["data set", "variant", "meta-steps", "seeds", "accuracy, 95 % over tasks", "run"]
    return table_of(head, rows)


def search(found: list[Record]) -> list[str]:
    """The settings that the search chose for each approach, and those of the study, with their rank."""
    rows: list[list[Any]] = []
    for record in (one for one in found if one.study == "search"):
        table = record.table("search/search")
        if table is None:
            continue
        for approach, tried in table.groupby("approach", sort=False):
            for row in tried[tried["chosen"] | _own(record, tried)].itertuples():
                steps = f"{row.outer_step:g}", f"{row.inner_step:g}", row.schedule
                accuracy = f"{percent(row.accuracy)} {half(row.ci95_seeds, 1)}"
                rank = f"{row.rank} of {len(tried)}"
                rows.append([approach, *steps, accuracy, row.seeds, rank, record.run(row.variant)])
    head = ["approach", "outer step", "inner step", "schedule", "validation accuracy", "seeds", "rank", "run"]
    return table_of(head, rows)


def _own(record: Record, tried: pd.DataFrame) -> pd.Series:
    """Which rows have the study's own settings."""
    train, inner = record.settings["train"], record.settings["inner"]
    alike = (tried["outer_step"] == train["learning_rate"]) & (tried["inner_step"] == inner["learning_rate"])
    return alike & (tried["schedule"] == train["schedule"])
