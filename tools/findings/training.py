"""Blocks about the course of training: who is ahead when, and how that depends on the accuracy that is asked for."""

from collections.abc import Sequence

import pandas as pd

from megan.report import paper_curves
from megan.report.claims.decide import shown
from megan.report.claims.measures import FACTOR
from megan.report.claims.over_training import Pair, areas, log_speeds
from megan.report.page.wording import points
from megan.report.statistics import seed_interval
from tools.findings.records import (
    CHOSEN,
    PAIR,
    Record,
    at_meta_steps,
    by_seed,
    main_record,
    of_the_pair,
    over_seeds,
    table_of,
)

AFTER_THE_VERDICT = (0.97, 1.0)  # shares of MAML's gain, besides those of claim 2; chosen after its verdict was known
FIGURE_6 = {"maml": "red (MAML)", "n_plus_1": "grey (N+1, real)"}  # the paper's curves of the pair


def over_training(found: list[Record]) -> list[str]:
    """The pair at the meta-steps whose weights were kept, on meta-test tasks."""
    rows = []
    for record, table in of_the_pair(found, "tables/snapshots"):
        rows += [[record.page, *row] for row in at_meta_steps(table)]
    return table_of(["study", "meta-steps", "MAML", "N+1", "difference, points"], rows)


def speed(found: list[Record]) -> list[str]:
    """Every part of claim 2 in each record, and the meta-steps to higher shares of MAML's gain."""
    shares = (*main_record(found).rules["gains"], *AFTER_THE_VERDICT)
    columns = {"": _parts(shares)}
    for record, table in of_the_pair(found, "tables/curves"):
        columns[f"{record.page}, {record.settings['train']['schedule']}"] = _measured(_curves(table, PAIR), shares)
    return table_of(list(columns), list(zip(*columns.values(), strict=True)))


def chosen(found: list[Record]) -> list[str]:
    """The measures of claims 1 and 2 with step sizes of the study and of the search, on the seeds that all have."""
    record = main_record(found)
    curves, tested = record.table("tables/curves"), record.table("tables/seeds")
    if curves is None or tested is None or not set(CHOSEN) <= set(tested["variant"]):
        return ["No record has this yet."]
    shares = record.rules["gains"]
    seeds = set.intersection(*(set(tested.loc[tested["variant"] == name, "seed"]) for name in (*PAIR, *CHOSEN)))
    curves, tested = (table[table["seed"].isin(seeds)] for table in (curves, tested))
    columns = {"": ["accuracy on meta-test tasks, N+1 - MAML, points", *_parts(shares)]}
    for name, pair in (
        ("both of the study", PAIR),
        ("both of the search", CHOSEN),
        ("MAML of the study, N+1 of the search", (PAIR[0], CHOSEN[1])),
    ):
        difference = by_seed(tested, pair)[1]
        columns[name] = [_told(difference.tolist(), "accuracy"), *_measured(_curves(curves, pair), shares)]
    return table_of(list(columns), list(zip(*columns.values(), strict=True)))


def _parts(shares: Sequence[float]) -> list[str]:
    """What `_measured` measures. A star: chosen when the verdict was known."""
    return [
        "mean validation accuracy over training, N+1 - MAML, points",
        *(
            f"meta-steps to {100 * share:.0f} % of MAML's gain, MAML / N+1" + " *" * (share in AFTER_THE_VERDICT)
            for share in shares
        ),
    ]


def _measured(pairs: list[Pair], shares: Sequence[float]) -> list[str]:
    """The pair's validation curves by each of `_parts`, in words."""
    return [_told(areas(pairs), "accuracy"), *(_told(log_speeds(pairs, share), FACTOR) for share in shares)]


def length(found: list[Record]) -> list[str]:
    """N+1 minus MAML at every third point of the paper's Fig. 6, in the paper and in each record."""
    paper = {name: points_of.set_index("meta_step")["accuracy"] for name, points_of in paper_curves.of(6).items()}
    theirs = (paper[FIGURE_6["n_plus_1"]] - paper[FIGURE_6["maml"]]).sort_index()[::3]  # 1, 4, 7 and 10 of ten
    columns = {
        "updates of the paper": theirs.index,
        "training tasks": [f"{paper_curves.META_BATCH * step:,}" for step in theirs.index],
        "the paper, one run": [points(value, 1) for value in theirs],
    }
    for record, table in of_the_pair(found, "tables/curves"):
        columns[record.page] = [_at(step, table, record.meta_batch) for step in theirs.index]
    return table_of(list(columns), list(zip(*columns.values(), strict=True)))


def _at(step: int, table: pd.DataFrame, meta_batch: int) -> str:
    """The pair's difference on validation tasks at the meta-step nearest to an update of the paper."""
    own = table[table["split"] == "validation"]
    wanted = paper_curves.as_ours(step, meta_batch)
    near = min(own["meta_step"].unique(), key=lambda at: abs(at - wanted))
    _, difference = by_seed(own[(own["meta_step"] == near) & own["variant"].isin(PAIR)])
    return over_seeds(difference)


def _curves(table: pd.DataFrame, names: tuple[str, str]) -> list[Pair]:
    """The validation curves of the second variant and of the first, for each seed that both have."""
    own = table[table["split"] == "validation"]
    wide = [own[own["variant"] == name].pivot(index="meta_step", columns="seed", values="accuracy") for name in names]
    return [(wide[1][seed], wide[0][seed]) for seed in wide[0].columns.intersection(wide[1].columns)]


def _told(values: list[float], unit: str) -> str:
    """Mean and interval over seeds, and in how many of them N+1 is ahead."""
    known = pd.Series(values).dropna()
    mean, width = known.mean(), seed_interval(known.tolist())
    center, low, high = (
        shown(value, unit).removesuffix(" points").removeprefix("factor ")
        for value in (mean, mean - width, mean + width)
    )
    return f"{center} ({low} to {high}); ahead in {int((known > 0).sum())} of {len(known)}"
