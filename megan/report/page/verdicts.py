"""The claims of the paper: verdict, effect beside its margin, and the reason."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from megan.config import paths
from megan.config.params import Params
from megan.report.claims.decide import shown
from megan.report.claims.measures import FACTOR
from megan.report.inputs import read_table
from megan.report.page.scales import TICKS, Margins

COLUMNS = [
    "claim", "family", "text", "verdict", "reason", "part", "effect", "unit", "ci95_low", "ci95_high", "p", "p_holm",
    "p_opposite", "p_opposite_holm", "p_equal", "p_equal_holm", "threshold", "margin", "detectable", "seeds",
    "meta_steps", "source", "variants",
]  # fmt: skip

# Each verdict has a sign as well as a colour. `look` is a class of the style sheet.
LOOKS = {
    "supported": ("for", "✓"),
    "opposite": ("against", "✗"),
    "no difference": ("equal", "="),
    "undecided": ("open", "?"),
    "failed its gate": ("gate", "!"),
    "not run yet": ("open", "…"),
}


@dataclass(frozen=True)
class Bar:
    """An effect with its interval, on the axis of all claims. Positions in percent of its width.

    `cut` is set if the interval goes beyond the axis. `text` says the same in words.
    """

    low: float | None
    high: float | None
    effect: float
    cut: bool
    text: str


@dataclass(frozen=True)
class Row:
    """One claim. `numbers` are pairs of a name and a text, for the part of the page that can be opened."""

    id: str
    text: str
    source: str
    verdict: str
    look: str
    sign: str
    effect: str
    bar: Bar | None
    reason: str
    numbers: list[tuple[str, str]]


@dataclass(frozen=True)
class Claims:
    """Claims by family, and the common axis of their bars."""

    families: list[tuple[str, list[Row]]]
    counts: list[tuple[str, str, str, int]]  # verdict, look, sign, number of claims
    total: int
    axis: Margins

    def ticks(self) -> list[tuple[float, str]]:
        return [(self.axis.at(tick), f"{tick:g}") for tick in self.axis.ticks()]


def read(params: Params) -> Claims:
    """Read `claims.csv`. Raises `ReportError` if it is missing or lacks a column."""
    table = read_table(paths.claims(params.study) / "claims.csv", COLUMNS)
    axis = Margins(_most(table))
    grouped: dict[str, list[Row]] = {}
    for record in table.to_dict("records"):
        grouped.setdefault(str(record["family"]), []).append(_row(record, axis))
    counts = Counter(str(verdict) for verdict in table["verdict"])
    known = [verdict for verdict in LOOKS if counts[verdict]] + sorted(set(counts) - set(LOOKS))
    return Claims(
        list(grouped.items()), [(verdict, *_look(verdict), counts[verdict]) for verdict in known], len(table), axis
    )


def of(study: str, first: str, second: str) -> str:
    """The verdict on the first claim about exactly these two variants, or ""."""
    table = read_table(paths.claims(study) / "claims.csv", COLUMNS)
    own = table[[set(str(names).split()) == {first, second} for names in table["variants"]]]
    return str(own["verdict"].iloc[0]) if len(own) else ""


def _look(verdict: str) -> tuple[str, str]:
    return LOOKS.get(verdict, ("open", "·"))


def _most(table: pd.DataFrame) -> float:
    """The end of the axis: the smallest tick that holds all effects, and at least 3 margins."""
    sizes = (table["effect"].abs() / table["margin"]).replace(math.inf, math.nan).dropna()
    largest = float(sizes.max()) if len(sizes) else 0.0
    return float(next((tick for tick in TICKS[1:] if tick >= largest), TICKS[-1])) * 1.15


def _row(record: dict[str, Any], axis: Margins) -> Row:
    verdict, unit = str(record["verdict"]), _text(record["unit"])
    look, sign = _look(verdict)
    effect = _shown(record["effect"], unit)
    return Row(
        id=str(record["claim"]), text=str(record["text"]), source=_text(record["source"]), verdict=verdict,
        look=look, sign=sign, effect=effect, bar=_bar(record, unit, axis), reason=str(record["reason"]),
        numbers=list(_numbers(record, unit)),
    )  # fmt: skip


def _bar(record: dict[str, Any], unit: str, axis: Margins) -> Bar | None:
    """None without an effect or without a margin to measure it by."""
    effect, margin, low, high = (float(record[key]) for key in ("effect", "margin", "ci95_low", "ci95_high"))
    if math.isnan(effect) or math.isnan(margin) or margin <= 0:
        return None
    words = f"Effect {_shown(effect, unit)}; the margin is {_shown(margin, unit)}"
    if math.isnan(low):
        return Bar(None, None, axis.at(effect / margin), False, f"{words}; no interval.")
    cut = max(abs(low), abs(high)) / margin > axis.most
    words += f"; 95 % interval {_shown(low, unit)} to {_shown(high, unit)}."
    return Bar(axis.at(low / margin), axis.at(high / margin), axis.at(effect / margin), cut, words)


def _numbers(record: dict[str, Any], unit: str) -> list[tuple[str, str]]:
    low, high = record["ci95_low"], record["ci95_high"]
    interval = "" if math.isnan(low) else f"{_shown(low, unit)} to {_shown(high, unit)}"
    pairs = [
        ("what is measured", _text(record["part"])),
        ("effect", _shown(record["effect"], unit)),
        ("95 % interval over seeds", interval),
        ("the claim says: above", _shown(record["threshold"], unit)),
        ("margin", _shown(record["margin"], unit)),
        ("smallest detectable effect", _shown(record["detectable"], unit)),
        ("p for the claim (adjusted)", _p(record["p"], record["p_holm"])),
        ("p for the opposite (adjusted)", _p(record["p_opposite"], record["p_opposite_holm"])),
        ("p for no difference (adjusted)", _p(record["p_equal"], record["p_equal_holm"])),
        ("seeds", _whole(record["seeds"])),
        ("meta-steps", _whole(record["meta_steps"])),
        ("variants", ", ".join(_text(record["variants"]).split())),
    ]
    return [(name, text) for name, text in pairs if text]


def _shown(value: float, unit: str) -> str:
    """A number with its unit, as in the reasons of the verdicts; "" for NaN."""
    if math.isnan(value):
        return ""
    return f"{shown(value, unit)} {'' if unit.startswith('accuracy') or unit == FACTOR else unit}".rstrip()


def _text(value: Any) -> str:
    """A cell of text; "" if it is empty."""
    return value if isinstance(value, str) else ""


def _p(value: float, adjusted: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.2g}" + ("" if math.isnan(adjusted) else f" ({adjusted:.2g})")


def _whole(value: float) -> str:
    return "" if pd.isna(value) else f"{int(value):,}"
