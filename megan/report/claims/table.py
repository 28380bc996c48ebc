"""Decisions as a table with one row for each claim, and as plain data with all parts."""

import math
from typing import Any

import pandas as pd

from megan.report.claims.decide import TESTS, Decision
from megan.report.claims.effects import Part

COLUMNS = [
    "claim", "family", "text", "verdict", "reason", "part", "effect", "unit", "ci95_low", "ci95_high",
    "p", "p_holm", "p_opposite", "p_opposite_holm", "p_equal", "p_equal_holm",
    "threshold", "margin", "detectable", "seeds", "meta_steps", "source", "variants",
]  # fmt: skip


def table(decisions: list[Decision]) -> pd.DataFrame:
    """Columns as in `COLUMNS`.

    `part`, `effect`, its `unit` and 95 % interval over seeds are of the part that decides the
    verdict. Accuracies are shares from 0 to 1, factors are natural logarithms. The claim says that the effect is
    above `threshold`; an effect nearer to 0 than `margin` is no difference. `p`, `p_opposite` and `p_equal` are of
    the tests for the claim, against it, and for no difference; `_holm` marks adjustment within the family. Cells are
    empty if nothing was tested. `detectable`: see `Decision`.
    """
    frame = pd.DataFrame([_row(one) for one in decisions], columns=COLUMNS)
    return frame.astype({"seeds": "Int64", "meta_steps": "Int64"})


def _row(one: Decision) -> dict[str, Any]:
    row = {
        "claim": one.claim.id, "family": one.claim.family, "text": one.claim.text, "verdict": one.verdict,
        "reason": one.reason, "detectable": one.detectable, "meta_steps": one.meta_steps,
        "source": one.claim.source, "variants": " ".join(one.claim.variants),
        **one.raw, **{f"{which}_holm": value for which, value in one.adjusted.items()},
    }  # fmt: skip
    if one.part:
        row |= {"part": one.part.text, **_measured(one.part)}
    return row


def _measured(part: Part) -> dict[str, Any]:
    low, high = part.interval
    return {
        "effect": part.effect, "unit": part.unit, "ci95_low": low, "ci95_high": high,
        "threshold": part.threshold, "margin": part.margin, "seeds": part.seeds,
    }  # fmt: skip


def full(one: Decision) -> dict[str, Any]:
    tested = not math.isnan(one.raw["p"])
    parts = [
        {
            "text": part.text, "decides": part.decides, "by_seed": [_number(value) for value in part.values],
            **_measured(part), **{which: getattr(part, which) if tested else None for which in TESTS.values()},
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
