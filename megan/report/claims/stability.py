"""How "stable" is measured: the spread of realism over tasks (8), and of accuracy over runs (13).

`tests/report/test_stability.py` measures by simulation what each measure finds with the planned seeds.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from megan.config.claims import Claims
from megan.report.claims.effects import Part
from megan.report.claims.evidence import Evidence
from megan.report.claims.measures import FACTOR, floats, log_kid, paired


def over_tasks(evidence: Evidence, rules: Claims, shaky: str, steady: str, text: str) -> Part:
    """Logarithm of the spread of `shaky` over that of `steady`; the spread is the standard deviation of log KID over
    the tasks of a run."""
    tasks = evidence.by_task[evidence.by_task["variant"].isin([shaky, steady])]
    spread = log_kid(tasks[["kid"]], rules)["kid"].groupby([tasks["seed"], tasks["variant"]]).std()
    table = np.log(spread.where(spread > 0)).unstack().reindex(columns=[shaky, steady])
    return Part(text, FACTOR, paired(table, shaky, steady), rules.spread_margin)


def ranks(values: pd.DataFrame, evidence: Evidence, variants: Sequence[str]) -> pd.DataFrame:
    """Rank of each planned run, from 0 to 1, by its distance from the median over the seeds of its variant.

    The distance is that of Brown and Forsythe (1974). Runs that diverged or learnt nothing rank after all others.
    NaN if a variant has only one run that learnt, so no spread; and if it has none, because it then fails always, with
    its setting, and says nothing of the spread of runs.
    """
    rows = {}
    for name in variants:
        own = values[name].reindex(evidence.planned[name]).astype(float)
        lost = sorted(evidence.lost(name) & set(own.index))
        own[lost] = np.nan
        deviation = (own - own.median()).abs() if own.notna().sum() > 1 else own * np.nan
        if own.notna().any():
            deviation[lost] = np.inf
        rows[name] = deviation
    table = pd.DataFrame(rows)
    order = table.stack().dropna().rank(method="average")
    return ((order - 0.5) / len(order)).unstack().reindex(index=table.index, columns=list(variants))


def over_seeds(
    evidence: Evidence, rules: Claims, values: pd.DataFrame, shaky: Sequence[str], steady: Sequence[str], what: str
) -> Part:
    """The mean rank of instability of the runs of `shaky` minus that of the runs of `steady`.

    The unit is the run, because a spread over seeds has no value for a single seed.
    """
    table = ranks(values, evidence, [*shaky, *steady])
    groups = [floats(table[list(names)].to_numpy().ravel()) for names in (shaky, steady)]
    lost = [sum(len(evidence.lost(name)) for name in names) for names in (shaky, steady)]
    runs = [sum(len(evidence.planned[name]) for name in names) for names in (shaky, steady)]
    counts = f"runs that diverged or learnt nothing: {lost[0]} of {runs[0]} and {lost[1]} of {runs[1]}"
    never = [name for name in [*shaky, *steady] if set(evidence.planned[name]) <= evidence.lost(name)]
    counts += f"; left out, since no run of it learnt: {', '.join(never)}" if never else ""
    text = f"rank of instability of {what} over seeds ({counts})"
    planned = len(evidence.common([*shaky, *steady]))
    return Part(text, "rank (0 to 1)", groups[0], rules.rank_margin, others=groups[1], planned=planned)
