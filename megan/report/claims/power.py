"""How many seeds the claims need: power analysis from spreads that were measured before the planned runs.

`python -m tools.power` prints the tables of docs/power.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import integrate, stats
from scipy.special import nctdtr, nctdtrinc

from megan.config.claims import Claims
from megan.report.claims import over_training
from megan.report.claims.measures import FACTOR
from megan.report.claims.rules import ALL

# Standard deviation of N+1 minus MAML after 300 meta-steps of 8 tasks, four seeds: the first record, at commit 236abab.
PILOT = 0.0144
_MOST = 2000  # seeds; more are written as "more"
_UPPER = 0.8  # one-sided level of the upper bound of a spread


@dataclass(frozen=True)
class Spread:
    """A standard deviation over seeds, of an effect as a claim measures it."""

    claims: tuple[str, ...]
    what: str
    unit: str
    size: float
    degrees: int  # of freedom of `size`
    margin: float

    @property
    def upper(self) -> float:
        """The upper 80 % bound, as the spread was estimated from few seeds (chi-squared distribution)."""
        return self.size * math.sqrt(self.degrees / float(stats.chi2.ppf(1 - _UPPER, self.degrees)))


def power(effect: float, spread: float, seeds: int, level: float) -> float:
    """Probability that a one-sided t test at `level` finds `effect` (noncentral t distribution)."""
    critical = float(stats.t.ppf(1 - level, seeds - 1))
    return 1 - float(nctdtr(seeds - 1, effect / spread * math.sqrt(seeds), critical))


def detectable(spread: float, seeds: int, level: float, wanted: float) -> float:
    """The effect that is found with probability `wanted`."""
    critical = float(stats.t.ppf(1 - level, seeds - 1))
    return float(nctdtrinc(seeds - 1, 1 - wanted, critical)) * spread / math.sqrt(seeds)


def seeds_for(effect: float, spread: float, level: float, wanted: float) -> int | None:
    """The fewest seeds that find `effect` with probability `wanted`; None if that takes more than 2,000."""
    return next((seeds for seeds in range(2, _MOST + 1) if power(effect, spread, seeds, level) >= wanted), None)


def power_of_equality(margin: float, spread: float, seeds: int, level: float) -> float:
    """Probability that two one-sided tests show "no difference" if the true effect is 0.

    The mean must lie within `margin` minus t standard errors. Integrated over the estimated spread.
    """
    critical, error, degrees = float(stats.t.ppf(1 - level, seeds - 1)), spread / math.sqrt(seeds), seeds - 1
    share = stats.chi(degrees, scale=1 / math.sqrt(degrees))  # of the estimated spread in the true one
    widest = margin / (critical * error)  # beyond, no mean is near enough to 0

    def within(ratio: float) -> float:
        return float((2 * stats.norm.cdf((margin - critical * ratio * error) / error) - 1) * share.pdf(ratio))

    return float(integrate.quad(within, 0, min(widest, 6))[0])


def measured(record: Path, rules: Claims) -> tuple[Spread, ...]:
    """The spreads of a record of `maml`, `n_plus_1` and `control_output_only` at 2,500 meta-steps.

    Those of fakes are of one variant. A difference of two variants is taken to have 1.41 times that spread.
    """
    accuracy = _wide(pd.read_csv(record / "tables" / "seeds.csv"), "accuracy")
    curves = pd.read_csv(record / "tables" / "curves.csv").query("split == 'validation'")
    fast, slow = (
        curves[curves["variant"] == name].pivot(index="meta_step", columns="seed", values="accuracy")
        for name in ("n_plus_1", "maml")
    )
    pairs = [(fast[seed], slow[seed]) for seed in slow.columns]
    realism = pd.read_csv(record / "samples" / "realism.csv").query("variant == 'n_plus_1'")
    tasks = pd.read_csv(record / "samples" / "tasks.csv").query("variant == 'n_plus_1'")
    over_tasks = np.log(tasks["kid"].clip(lower=rules.kid_floor)).groupby(tasks["seed"]).std()
    both = math.sqrt(2)
    seven = len(accuracy) - 1
    long = _deviation(accuracy["n_plus_1"] - accuracy["maml"])
    control = _deviation(accuracy["n_plus_1"] - accuracy["control_output_only"])
    short = _deviation(fast.loc[500] - slow.loc[500])
    area = _deviation(over_training.areas(pairs))
    point = rules.accuracy_margin
    own = tuple(claim.id for claim in ALL if claim.id.startswith("Q"))
    return (
        Spread(("1",), "accuracy, N+1 minus MAML", "accuracy", long, seven, point),
        Spread(("2",), "area under the validation curve", "accuracy", area, seven, point),
        *(
            Spread(
                ("2",), f"meta-steps to {share:.0%} of the gain", FACTOR,
                _speed(pairs, share), seven, rules.speed_margin,
            )
            for share in rules.gains
        ),
        Spread(("5", "6", "7"), "accuracy; spread of claim 1", "accuracy", long, seven, point),
        Spread(own, "accuracy; spread of N+1 minus N+1 without fakes", "accuracy", control, seven, point),
        Spread(
            ("3", "4", "11", "15", "16"),
            "accuracy after 500 meta-steps; spread on validation tasks",
            "accuracy", short, seven, point,
        ),
        Spread(
            ("8", "9", "11"), "KID", FACTOR,
            both * _deviation(np.log(realism["kid"])), seven, rules.realism_margin,
        ),
        Spread(
            ("8",), "spread of KID over tasks", FACTOR,
            both * _deviation(np.log(over_tasks)), seven, rules.spread_margin,
        ),
        Spread(
            ("16",), "distance to the support image", "distance",
            both * _deviation(realism["distance"]), seven, rules.distance_margin,
        ),
    )  # fmt: skip


def levels(claim: str, rules: Claims) -> tuple[float, float]:
    """The level, and that of Holm's first step in the family of the claim."""
    family = next(one.family for one in ALL if one.id == claim)
    return rules.level, rules.level / sum(one.family == family for one in ALL)


def table(record: Path, rules: Claims) -> Iterator[str]:
    """Rows of the table of docs/power.md."""
    yield "| claims | effect | spread (upper bound) | margin | seeds planned | found with 80 % at 0.025 |" + (
        " at Holm's first step | the same at the upper bound | seeds for the margin at 0.025 | at Holm's first step |"
        ' "no difference" shown if the effect is 0 |'
    )
    yield "|---" * 11 + "|"
    for one in measured(record, rules):
        seeds = rules.least[one.claims[0]].seeds
        plain, first = levels(one.claims[0], rules)
        least = [detectable(one.size, seeds, level, rules.power) for level in (plain, first)]
        worst = detectable(one.upper, seeds, first, rules.power)
        needed = [seeds_for(one.margin, one.size, level, rules.power) for level in (plain, first)]
        equal = power_of_equality(one.margin, one.size, seeds, first)
        cells = [
            ", ".join(one.claims), one.what, f"{_shown(one.size, one.unit)} ({_shown(one.upper, one.unit)})",
            _shown(one.margin, one.unit), str(seeds), *(_shown(value, one.unit) for value in [*least, worst]),
            *("more than 2,000" if count is None else str(count) for count in needed), f"{100 * equal:.0f} %",
        ]  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def pilot(rules: Claims) -> Iterator[str]:
    """Rows of the table of seeds for several true effects and spreads of claim 1."""
    plain, first = levels("1", rules)
    yield f"| true effect | spread | seeds for 80 % at {plain} | at {first} |"
    yield "|---|---|---|---|"
    for effect in (0.005, 0.01, 0.02):
        for spread in (PILOT, 0.008, 0.005):
            counts = [seeds_for(effect, spread, level, rules.power) for level in (plain, first)]
            yield f"| {100 * effect:.1f} points | {100 * spread:.2f} points | {counts[0]} | {counts[1]} |"


def _shown(value: float, unit: str) -> str:
    if unit == FACTOR:
        return f"{value:.2f} (factor {math.exp(value):.2f})"
    return f"{100 * value:.2f} points" if unit == "accuracy" else f"{value:.3f}"


def _speed(pairs: list[over_training.Pair], share: float) -> float:
    return _deviation(over_training.log_speeds(pairs, share))


def _deviation(values: pd.Series | list[float]) -> float:
    return float(np.std(np.asarray(values, dtype=float), ddof=1))


def _wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    return table.pivot(index="seed", columns="variant", values=column)
