"""The answer of a study in three sentences: accuracies, their difference, and the claims."""

import math

from megan.config.params import Params
from megan.report.page import verdicts
from megan.report.page.variants import REFERENCE, Variant
from megan.report.page.wording import count, joined, percent, points

OWN = "own questions"  # the family of claims that are not the paper's
PARTNER = "n_plus_1"  # the system with which the paper says that it passed MAML


def sentences(params: Params, dataset: str, rows: list[Variant], claims: verdicts.Claims) -> list[str]:
    """Three sentences. Each number is of a run of this study."""
    tasks = params.current.tasks
    where = f"On {tasks.ways}-way {tasks.shots}-shot tasks of {dataset}, from classes never seen in meta-training,"
    pair = _pair(rows)
    return [f"{where} {_accuracies(pair)}", _difference(params, pair), _claims(params, rows, claims)]


def _pair(rows: list[Variant]) -> list[Variant]:
    """The reference and the variant it is compared with; or as many of them as the study has."""
    named = {row.name: row for row in rows}
    reference = named.get(REFERENCE)
    others = [row for row in rows if row.tier == "headline" and row.name != REFERENCE]
    partner = named.get(PARTNER) or next(iter(others), None)
    return [row for row in (reference, partner) if row] or rows[:1]


def _accuracies(pair: list[Variant]) -> str:
    words = []
    for row in pair:
        if not row.seeds:
            words.append(f"every seed of {_named(row)} diverged")
            continue
        interval = "" if math.isnan(row.over_seeds) else f"\u00a0±\u00a0{100 * row.over_seeds:.1f}"
        words.append(f"{_named(row)} reaches {percent(row.accuracy)[:-2]}{interval}\u00a0%")
    seeds = sorted({row.seeds for row in pair if row.seeds})
    over = f" (95 % interval over {seeds[0]} seeds)" if len(seeds) == 1 and seeds[0] > 1 else ""
    over = over or (" (one seed, so no interval)" if seeds == [1] else "")
    return f"{joined(words)}{over}."


def _difference(params: Params, pair: list[Variant]) -> str:
    if len(pair) < 2:
        return "The study has no second system to compare it with."
    reference, partner = pair
    if math.isnan(partner.difference):
        why = "they trained for different lengths" if reference.meta_steps != partner.meta_steps else (
            "no seed of both finished"
        )  # fmt: skip
        return f"{_named(partner)} and {_named(reference)} are not compared, because {why}."
    low, high = (partner.difference + side * partner.difference_half for side in (-1, 1))
    interval = "" if math.isnan(low) else f" (95 % interval {points(low)} to {points(high)})"
    verdict = verdicts.of(params.study, REFERENCE, partner.name)
    said = f"; the paper's claim that it is better is {_said(verdict)}" if verdict else ""
    return (
        f"On common tasks {_named(partner)} differs from {_named(reference)} by {points(partner.difference)} points"
        + (f"{interval}{said}.")
    )


def _named(row: Variant) -> str:
    """The label, in quotes if its commas would be read as those of the sentence."""
    return f"“{row.label}”" if "," in row.label else row.label


def _said(verdict: str) -> str:
    wording = {"opposite": "contradicted", "no difference": "not borne out: there is no difference"}
    return wording.get(verdict, f"not tested: it {verdict}" if verdict.startswith("failed") else verdict)


def _claims(params: Params, rows: list[Variant], claims: verdicts.Claims) -> str:
    told = joined([f"{number} {verdict}" for verdict, _, _, number in claims.counts])
    own = sum(len(rows) for family, rows in claims.families if family == OWN)
    asked = count(claims.total - own, "claim") + (f" and {count(own, 'question')} of our own" if own else "")
    text = f"Of {asked}, the verdicts are: {told}"
    short = [row for row in rows if row.short]
    if len(short) == len(rows):
        return f"{text}; all runs are short and only show that the code runs."
    return text + (f"; {count(len(short), 'variant')} ran too short for a verdict." if short else ".")
