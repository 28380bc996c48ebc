"""Decisions as a table with one row for each claim, and as plain data with all parts."""

import math
from typing import Any

import pandas as pd

from megan.report.claims.decide import Decision
from megan.report.claims.effects import Part

COLUMNS = [
    "claim", "text", "verdict", "reason", "part", "effect", "unit", "ci95_low", "ci95_high", "p", "p_holm", "p_against",
    "p_against_holm", "threshold", "margin", "detectable", "seeds", "meta_steps", "source", "variants",
]  # fmt: skip


def table(decisions: list[Decision]) -> pd.DataFrame:
    """Columns as in `COLUMNS`.

    `part`, `effect`, its `unit` and 95 % interval over seeds are of the part that decides the
    verdict. Accuracies are shares from 0 to 1. The claim says that the effect is above
    `threshold`; the test against it uses `margin`. `p` is of the test for the claim,
    `p_against` of the test against it, and `_holm` marks adjustment over all claims. Cells are
    empty if nothing was tested. `detectable`: see `Decision`.
    """
    frame = pd.DataFrame([_row(one) for one in decisions], columns=COLUMNS)
    return frame.astype({"seeds": "Int64", "meta_steps": "Int64"})


def _row(one: Decision) -> dict[str, Any]:
    row = {
        "claim": one.claim.number, "text": one.claim.text, "verdict": one.verdict, "reason": one.reason,
        "p": one.p, "p_holm": one.p_holm, "p_against": one.p_against, "p_against_holm": one.p_against_holm,
        "detectable": one.detectable, "meta_steps": one.meta_steps, "source": one.claim.source,
        "variants": " ".join(one.claim.variants),
    }  # fmt: skip
    if one.part:
        row |= {"part": one.part.text, **_measured(one.part)}
    return row


def _measured(part: Part) -> dict[str, Any]:
    low, high = part.interval
    return {
        "effect": part.effect, "unit": part.unit, "ci95_low": low, "ci95_high": high,
        "threshold": part.threshold, "margin": part.refuted, "seeds": part.seeds,
    }  # fmt: skip


def full(one: Decision) -> dict[str, Any]:
    tested = not math.isnan(one.p)
    parts = [
        {
            "text": part.text, "decides": part.decides, "by_seed": [_number(value) for value in part.values],
            **_measured(part), "p": part.p if tested else None, "p_against": part.p_against if tested else None,
        }
        for part in (one.measured.parts if one.measured else [])
    ]  # fmt: skip
    content = {**_row(one), "variants": list(one.claim.variants), "parts": [_plain(part) for part in parts]}
    return _plain(content)


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    return {key: _number(value) if isinstance(value, float) else value for key, value in content.items()}


def _number(value: float) -> float | None:
    # As many digits as the table. Further digits depend on the order of a sum.
    return float(f"{value:.6g}") if math.isfinite(value) else None
