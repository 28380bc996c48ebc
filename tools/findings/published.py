"""Blocks about published numbers: those of the paper, and that of MAML by Finn et al., beside ours."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from megan.report import paper_table
from megan.report.page.wording import half, percent, points
from tools.findings.records import Record, main_record, of_the_paper, table_of

# MAML on Omniglot, 5 ways and 1 shot, with its 95 % interval over tasks: Finn et al. 2017, Table 1. By their code, this
# was measured with one query a class.
PUBLISHED, PUBLISHED_ERROR, PUBLISHED_QUERIES = 0.987, 0.004, 1


def paper(found: list[Record]) -> list[str]:
    """The paper's numbers, ours in the main record, and whether the paper's run could be one of our seeds; by curve."""
    return beside_paper([main_record(found)], lambda row: bool(row["last"]))


def paper_elsewhere(found: list[Record]) -> list[str]:
    """The same for the other records of the paper's data set."""
    others = [record for record in of_the_paper(found) if record != main_record(found)]
    return beside_paper(others, lambda row: bool(row["last"]))


def beside_paper(found: list[Record], chosen: Callable[[dict[str, Any]], bool]) -> list[str]:
    """The rows of each record's `paper_table` that are `chosen` and have a number of ours.

    Where ours is of validation tasks, a further column has meta-test tasks, of the weights of the nearest meta-step.
    """
    rows, tested = [], []
    for record in found:
        accuracy = record.table("tables/accuracy")
        if accuracy is None:
            continue
        labels = dict(zip(accuracy["variant"], accuracy["label"], strict=True))
        table = paper_table.build(record.study, labels, record.folder / "tables", record.meta_batch)
        for row in filter(chosen, table[table["ours"].notna()].to_dict("records")):
            ours = f"{percent(row['ours'])} after {row['our_meta_step']:,} ({row['split']})"
            spread = f"{100 * row['lowest_seed']:.1f} to {percent(row['highest_seed'])}; {half(row['spread'], 1)}"
            rows.append(
                [
                    f"Fig. {row['figure']}, {row['curve']}",
                    f"{percent(row['paper'])} after {row['meta_step']:,}",
                    ours, points(row["difference"], 1), spread, row["inside"] or "one seed", record.run(row["variant"]),
                ]
            )  # fmt: skip
            tested.append("" if row["split"] == "test" else _on_meta_test(record.table("tables/snapshots"), row))
    head = ["curve", "paper", "ours", "difference, points", "our seeds; one further seed", "inside", "run"]
    if any(tested):
        head.insert(-1, "ours on meta-test tasks; inside")
        for cells, told in zip(rows, tested, strict=True):
            cells.insert(-1, told)
    return table_of(head, rows)


def _on_meta_test(snapshots: pd.DataFrame | None, row: dict[str, Any]) -> str:
    """Our accuracy at the kept meta-step nearest to that of a row, and whether the paper's run is inside, as in it."""
    own = None if snapshots is None else snapshots[snapshots["variant"] == row["variant"]]
    if own is None or own.empty:
        return ""
    near = min(own["meta_step"], key=lambda step: abs(step - row["our_meta_step"]))
    values = own.loc[own["meta_step"] == near, "accuracy"]
    inside = abs(values.mean() - row["paper"]) <= paper_table.run_interval(values) + row["reading_error"]
    return f"{percent(values.mean())} after {near:,}; {'yes' if inside else 'no'}"


def anchor(found: list[Record]) -> list[str]:
    """Our MAML by the number of queries a class, at the settings of Finn et al., beside what they published."""
    rows = []
    for record in (one for one in found if one.study == "anchor"):
        table = record.table("test/maml/queries")
        for row in [] if table is None else table.sort_values("queries").itertuples():
            ours = f"{percent(row.accuracy, 2)} {half(1.96 * row.standard_error, 2)}"
            theirs, inside = "", ""
            if row.queries == PUBLISHED_QUERIES:
                theirs = f"{percent(PUBLISHED)} {half(PUBLISHED_ERROR, 1)}"
                inside = "yes" if abs(row.accuracy - PUBLISHED) <= PUBLISHED_ERROR else "no"
            rows.append([row.queries, ours, theirs, inside, row.seed, record.run("maml")])
    return table_of(["queries a class", "accuracy, 95 % over tasks", "published", "inside", "seed", "run"], rows)
