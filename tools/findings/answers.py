"""Blocks about the claims: the answer, the pair, verdicts, spreads."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from megan.report.claims.decide import VERDICTS, shown
from megan.report.claims.measures import FACTOR
from megan.report.page.wording import half, percent, points
from tools.findings.records import PAIR, REPLICATION, Record, by_seed, main_record, of_the_pair, table_of
from tools.findings.replication import second_order_pair

# The headline, and whether the generator is its reason. Chosen when only the runs of claims 1 and 2 were finished.
MATTER = ("1", "2", "7", "15", "Q1", "Q2", "Q3", "Q4", "Q5")


def answer(found: list[Record]) -> list[str]:
    """The accuracies of the pair, the verdicts on claims 1 and 2, how many claims have each verdict; in sentences."""
    record = main_record(found)
    table, claims = record.table("tables/accuracy"), record.table("claims/claims")
    compared = record.table("tables/comparisons")
    assert table is not None and claims is not None and compared is not None
    rows, difference = table.set_index("variant").loc[list(PAIR)], compared.set_index("variant").loc[PAIR[1]]
    maml, own = (f"{percent(row.accuracy)} ({half(row.ci95_seeds, 1)})" for row in rows.itertuples())
    verdicts = claims.set_index(claims["claim"].astype(str))["verdict"]
    ours = verdicts.index.str.startswith("Q")
    kinds = {"the paper's claims": verdicts[~ours], "our own questions": verdicts[ours]}
    counts = "; ".join(f"of {kind} {_counted(some)}" for kind, some in kinds.items() if len(some))
    state = "a provisional record" if record.manifest.get("provisional") else "the record"
    return [
        f"N+1 reaches {own} and MAML {maml} on meta-test tasks of real Omniglot ({record.page}, {state};"
        f" {rows['seeds'].iloc[0]} seeds, {rows['meta_steps'].iloc[0]:,} meta-steps): a difference of"
        f" {points(difference['difference'])} points (95 % interval over seeds {half(difference['ci95_seeds'])}).",
        "",
        f"The paper's claim 1, N+1 beats MAML slightly: **{verdicts['1']}**{_beside_margin(claims)}."
        f" Claim 2, N+1 converges faster: **{verdicts['2']}**{_needed(record)}.",
        "",
        f"All verdicts: {counts}.",
        *_replication(found),
        *_second_order(found),
    ]


def _replication(found: list[Record]) -> list[str]:
    """The pair's difference in the settings of the authors' code, and its verdicts; no line if it was not run there."""
    again = next((one for one in _pairs(found) if one[0].study == REPLICATION), None)
    if again is None:
        return []
    record, table, difference, verdicts = again
    runs = table.loc[PAIR[1]]
    return [
        "",
        f"The replication, in the settings of the authors' code for multi-task ({record.page}; {runs['seeds']} seeds,"
        f" {runs['meta_steps']:,} meta-steps of {runs['meta_batch']} tasks): N+1 - MAML is"
        f" {points(difference['difference'])} points ({half(difference['ci95_seeds'])}). There claim 1 is"
        f" **{verdicts['1']}** and claim 2 **{verdicts['2']}**.",
    ]


def _second_order(found: list[Record]) -> list[str]:
    """The pair with second-order gradients, after as many meta-steps as the replication and at its end."""
    rows = second_order_pair(found)
    if not rows:
        return []
    again = next(table.loc[PAIR[1], "meta_steps"] for one, table, *_ in _pairs(found) if one.study == REPLICATION)
    at = {step: difference for step, *_, difference in rows}
    told = [f"{at[step]} points after {step} meta-steps" for step in (f"{again:,}", rows[-1][0]) if step in at]
    return [
        "",
        f"With second-order gradients and the network of Finn et al. there, N+1 - MAML is {' and '.join(told)}.",
    ]


def _counted(verdicts: pd.Series) -> str:
    """How many claims have each verdict: "2 supported, 1 opposite"."""
    numbers = verdicts.value_counts()
    return ", ".join(f"{numbers[verdict]} {verdict}" for verdict in VERDICTS if verdict in numbers)


def _beside_margin(claims: pd.DataFrame) -> str:
    """Whether the effect of claim 1 may be too small to matter, after its verdict."""
    row = claims[claims["claim"].astype(str) == "1"].iloc[0]
    margin = shown(row["margin"], row["unit"]).removeprefix("+")
    if row["ci95_high"] < row["margin"]:
        return f", by less than {margin}, the least that matters by our rules"
    if row["ci95_low"] < row["margin"]:
        return f", but the difference may be below {margin}, the least that matters by our rules"
    return ""


def _needed(record: Record) -> str:
    """How many meta-steps N+1 needs for each share of MAML's gain, after the verdict on claim 2."""
    claim = record.claim("2")
    factors = [
        f"{math.exp(-part['effect']):.2f}"
        + (" (interval covers 1)" if part["ci95_low"] < 0 < part["ci95_high"] else "")
        for part in claim["parts"]
        if part["unit"] == FACTOR
    ]
    shares = [f"{100 * share:.0f}" for share in record.rules["gains"]]
    if len(factors) != len(shares):
        return ""
    return (
        f" (it needs {_listed(factors)} times as many meta-steps as MAML"
        f" to reach {_listed(shares)} % of what MAML gains by training)"
    )


def _listed(words: list[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}"


def figure(found: list[Record]) -> list[str]:
    return [f"![Validation accuracy during meta-training]({main_record(found).here}/figures/outer_losses.png)"]


def pair(found: list[Record]) -> list[str]:
    """MAML and N+1 in each record, paired by seed and task."""
    rows = []
    for record, table, row, verdicts in _pairs(found):
        cells = [f"{percent(table.loc[name, 'accuracy'])} {half(table.loc[name, 'ci95_seeds'], 1)}" for name in PAIR]
        difference = f"{points(row['difference'])} {half(row['ci95_seeds'])}"
        rows.append([record.run(PAIR[1]), f"{int(row['seeds'])}", *cells, difference, verdicts["1"]])
    return table_of(["run", "seeds", "MAML", "N+1", "difference, points", "claim 1"], rows)


def _pairs(found: list[Record]) -> Iterator[tuple[Record, pd.DataFrame, pd.Series, pd.Series]]:
    """Each record with MAML and N+1: its accuracies by variant, the row of N+1 - MAML, and the verdicts by claim."""
    for record, table in of_the_pair(found, "tables/accuracy"):
        compared, claims = record.table("tables/comparisons"), record.table("claims/claims")
        if compared is not None and claims is not None:
            verdicts = claims.set_index(claims["claim"].astype(str))["verdict"]
            yield record, table.set_index("variant"), compared.set_index("variant").loc[PAIR[1]], verdicts


def matter(found: list[Record]) -> list[str]:
    """The claims that matter most, measured or not: verdict, effect and interval, and the replication's verdict."""
    rows = [
        [row["claim"], _told(row), f"**{row['verdict']}**", f"{effect} ({interval})" if interval else effect, again]
        for row, effect, interval, again in _measured(found)
        if row["claim"] in MATTER
    ]
    return table_of(["", "what it says", "verdict", "effect (95 % interval)", f"replication in `{REPLICATION}`"], rows)


def claims(found: list[Record]) -> list[str]:
    return _claims(found, own=False)


def questions(found: list[Record]) -> list[str]:
    return _claims(found, own=True)


def _claims(found: list[Record], own: bool) -> list[str]:
    """Verdict, effect, interval, threshold, margin and detectable effect of what was measured; and what was not."""
    chosen = [one for one in _measured(found) if one[0]["claim"].startswith("Q") == own]
    rows = [
        [row["claim"], _told(row), f"**{row['verdict']}**", effect, interval, *_sizes(row), again]
        for row, effect, interval, again in chosen
        if effect
    ]
    head = ["", "what it says", "verdict", "effect", "95 % interval", "threshold", "margin"]
    head += ["smallest that could be seen", f"replication in `{REPLICATION}`"]
    threshold = head.index("threshold")
    if not any(row[threshold] for row in rows):
        for cells in (head, *rows):
            del cells[threshold]
    words = table_of(head, rows)
    kinds: dict[str, list[str]] = {}
    for row, effect, _, _ in chosen:
        if not effect:
            kinds.setdefault(row["verdict"], []).append(row["claim"])
    told = "; ".join(f"{kind}: {', '.join(numbers)}" for kind, numbers in kinds.items())
    return [*words, *(["", f"Not measured in {main_record(found).page}: {told}."] if told else [])]


def _measured(found: list[Record]) -> Iterator[tuple[dict[str, Any], str, str, str]]:
    """Each claim of the main record: its row, effect and interval in words or "", and the replication's verdict."""
    table = main_record(found).table("claims/claims")
    again = next((one.table("claims/claims") for one in found if one.study == REPLICATION), None)
    assert table is not None
    verdicts = {} if again is None else _verdicts(again)
    for row in table.assign(claim=table["claim"].astype(str)).to_dict("records"):
        effect, low, high = (shown(row[key], row["unit"]) for key in ("effect", "ci95_low", "ci95_high"))
        measured = pd.notna(row["effect"])
        bounds = " to ".join(bound.removesuffix(" points").removeprefix("factor ") for bound in (low, high))
        interval = bounds if measured and pd.notna(row["ci95_low"]) else ""
        yield row, effect if measured else "", interval, verdicts.get(row["claim"], "")


def _verdicts(table: pd.DataFrame) -> dict[str, str]:
    """The verdict by claim, with its effect, of the claims that were measured."""
    rows = table[table["effect"].notna()].to_dict("records")
    return {str(row["claim"]): f"{row['verdict']}, {shown(row['effect'], row['unit'])}" for row in rows}


def _sizes(row: dict[str, Any]) -> list[str]:
    """The threshold of the claim unless it is 0, its margin, and its smallest detectable effect."""
    sizes = [shown(row[key], row["unit"]).removeprefix("+") for key in ("margin", "detectable")]
    threshold = row.get("threshold", 0)  # records of before 2026-11-28 have none
    return [shown(threshold, row["unit"]) if threshold else "", *sizes]


def _told(row: dict[str, Any]) -> str:
    return f"{row['text']} ({row['source']})" if isinstance(row["source"], str) else str(row["text"])


def noise(found: list[Record]) -> list[str]:
    """The difference of the pair beside the spread of single seeds, in points."""
    rows = []
    for record, table in of_the_pair(found, "tables/seeds"):
        wide, difference = by_seed(table)
        spreads = [f"{100 * wide[name].std():.2f}" for name in PAIR]
        ahead = f"{int((difference > 0).sum())} of {len(difference)}"
        rows.append([record.page, points(difference.mean()), *spreads, f"{100 * difference.std():.2f}", ahead])
    head = ["study", "difference", "one seed of MAML", "one seed of N+1", "the difference of one seed", "seeds ahead"]
    return table_of(head, rows)


def alphabets(found: list[Record]) -> list[str]:
    """The difference of the pair over the test alphabets, as a sentence, for each record whose tasks have one."""
    lines = []
    for record, table in of_the_pair(found, "tables/alphabets"):
        compared = record.table("tables/comparisons")
        known = table[table["variant"] == PAIR[1]].dropna(subset="difference")
        if compared is None or known.empty:
            continue
        row = compared.set_index("variant").loc[PAIR[1]]
        lines.append(
            f"- {record.page}: {points(row['difference_alphabets'])} points ({half(row['ci95_alphabets'])});"
            f" N+1 is ahead in {int((known['difference'] > 0).sum())} of {len(known)} alphabets."
        )
    return lines or ["No record has this yet."]
