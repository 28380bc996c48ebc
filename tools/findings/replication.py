"""Blocks about the settings of the authors' code: MAML of Fig. 10, multi-task of Fig. 8 and 10, second-order N+1."""

import pandas as pd

from megan.report import paper_curves
from megan.report.page.wording import half, percent
from megan.report.statistics import seed_interval
from tools.findings.published import beside_paper
from tools.findings.records import MORE, REPLICATION, Record, at_meta_steps, mean_kid, over_seeds, table_of

MAML = "maml_long"  # as long as multi-task of `MORE`
SECOND_ORDER = ("maml_second_order", "n_plus_1_second_order")  # of `REPLICATION` and of `MORE`
READINGS = (MAML, "maml_norm_first", SECOND_ORDER[0])
GENERATORS = ("multi_task_0", "multi_task_0_authors")


def figure_8(found: list[Record]) -> list[str]:
    """Every point of the paper's curves of multi-task in Fig. 8, beside ours; one of them is also in Fig. 10."""
    return beside_paper(_of(found, MORE), lambda row: str(row["figure"]) == "8")


def figure_10(found: list[Record]) -> list[str]:
    """Every point of the paper's curve of MAML in Fig. 10, beside ours."""
    return beside_paper(_of(found, REPLICATION), lambda row: str(row["figure"]) == "10" and row["curve"] == "MAML")


def readings(found: list[Record]) -> list[str]:
    """MAML in the settings of the authors' code and in two other readings, at the points of the paper's Fig. 10."""
    return _at_points(_of(found, REPLICATION), paper_curves.of(10)["MAML"], READINGS)


def generators(found: list[Record]) -> list[str]:
    """Multi-task with our small generator and with the authors', at the points of the paper's Fig. 8."""
    return _at_points(_of(found, MORE), paper_curves.of(8)["image, generator step 0.4"], GENERATORS)


def _at_points(found: list[Record], curve: pd.DataFrame, variants: tuple[str, ...]) -> list[str]:
    """A curve of the paper and the mean accuracy of `variants`, of kept weights, at its meta-steps."""
    steps = curve["meta_step"].tolist()
    rows = []
    for record in found:
        table = record.table("tables/snapshots")
        for name in [] if table is None else [name for name in variants if name in set(table["variant"])]:
            own = table[table["variant"] == name]
            means = own.groupby("meta_step")["accuracy"].mean().reindex(steps)
            rows.append([own["label"].iloc[0], *map(percent, means), own["seed"].nunique(), record.run(name)])
    if rows:
        rows.insert(0, ["the paper", *map(percent, curve["accuracy"]), 1, "read off the picture"])
    return table_of(["after meta-steps", *(f"{step:,}" for step in steps), "seeds", "run"], rows)


def second_order(found: list[Record]) -> list[str]:
    """MAML and N+1 with second-order gradients, at the meta-steps whose weights were kept, on meta-test tasks."""
    return table_of(["meta-steps", "MAML", "N+1", "difference, points"], second_order_pair(found))


def second_order_pair(found: list[Record]) -> list[list[str]]:
    """The rows of `second_order`; none if one of the two was not run."""
    kept = _snapshots(found)
    return at_meta_steps(kept, SECOND_ORDER) if set(SECOND_ORDER) <= set(kept["variant"]) else []


def processors(found: list[Record]) -> list[str]:
    """MAML of the same settings and seeds in `REPLICATION` and in `MORE`, which another kind of processor ran."""
    kept, pair = _snapshots(found), (REPLICATION, MORE)
    own = kept[kept["variant"] == MAML]
    rows = at_meta_steps(own.assign(variant=own["study"]), pair) if set(pair) <= set(own["study"]) else []
    return table_of(["meta-steps", *(f"`{study}`" for study in pair), "difference, points"], rows)


def multi_task(found: list[Record]) -> list[str]:
    """Multi-task of `MORE`: accuracy, less MAML of the same length and seeds in `REPLICATION`, and KID."""
    rows = []
    for record in _of(found, MORE):
        tested, realism = record.table("tables/seeds"), record.table("samples/realism")
        if tested is None or realism is None:
            continue
        finished = tested[tested["variant"].str.startswith("multi_task")]
        maml = pd.concat([_accuracy(other, MAML) for other in _of(found, REPLICATION)] or [pd.Series(dtype=float)])
        kids = mean_kid(record, realism)
        for name, label in finished.groupby("variant", sort=False)["label"].first().items():
            own = _accuracy(record, str(name))
            both = own.index.intersection(maml.index)
            rows.append(
                [
                    label, f"{percent(own.mean())} {half(seed_interval(own.tolist()))}",
                    over_seeds(own[both] - maml[both]) if len(both) else "",
                    f"{kids[name]:.2f}" if name in kids else "", len(own), record.run(str(name)),
                ]
            )  # fmt: skip
    return table_of(["variant", "accuracy", "variant - MAML, points", "KID", "seeds", "run"], rows)


def _snapshots(found: list[Record]) -> pd.DataFrame:
    """Accuracies of kept weights in `REPLICATION` and `MORE`, with a column `study`."""
    tables = [(one.study, one.table("tables/snapshots")) for study in (REPLICATION, MORE) for one in _of(found, study)]
    known = [table.assign(study=study) for study, table in tables if table is not None]
    return pd.concat(known) if known else pd.DataFrame(columns=["study", "variant"])


def _of(found: list[Record], study: str) -> list[Record]:
    """The record of a study, or none."""
    return [record for record in found if record.study == study]


def _accuracy(record: Record, variant: str) -> pd.Series:
    """Meta-test accuracy of a variant by seed."""
    table = record.table("tables/seeds")
    return table[table["variant"] == variant].set_index("seed")["accuracy"]
