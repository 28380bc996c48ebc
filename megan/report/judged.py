"""What the judge found of the fakes, beside the accuracy of the seed that made them."""

import math
from pathlib import Path

import pandas as pd

from megan.params import Style
from megan.report.captions import Facts
from megan.report.inputs import broken, read_table
from megan.report.statistics import seed_interval

REAL = "real"  # stands for a variant in `realism.csv`: real drawings judged against others
_NUMBERS = ["kid", "kid_low", "kid_high", "distance", "collapse"]


def read(samples: Path, tables: Path) -> pd.DataFrame:
    """Columns variant, seed, kid, kid_low, kid_high, distance, collapse, accuracy; a row a finished seed.

    Rows of `REAL` have no accuracy. **Raises** `ReportError` when a table is missing or wrong.
    """
    path = samples / "realism.csv"
    table = read_table(path, ["variant", "seed", *_NUMBERS])
    for column in _NUMBERS:
        numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
        if (numbers.isna() & table[column].notna()).any():
            raise broken(path, f"holds no numbers in the column {column!r}")
        table[column] = numbers
    if table.duplicated(["variant", "seed"]).any():
        twice = table[table.duplicated(["variant", "seed"])].iloc[0]
        raise broken(path, f"holds a row twice (variant {twice['variant']}, seed {twice['seed']})")
    seeds = read_table(tables / "seeds.csv", ["variant", "seed", "accuracy"])[["variant", "seed", "accuracy"]]
    merged = table[["variant", "seed", *_NUMBERS]].astype({"variant": object, "seed": float})
    merged = merged.merge(seeds.astype({"variant": object, "seed": float}), "left", ["variant", "seed"])
    return merged[merged["accuracy"].notna() | (merged["variant"] == REAL)].reset_index(drop=True)


def outcomes(judged: pd.DataFrame, facts: Facts, shown: dict[str, Style]) -> str:
    """Our numbers in words: KID with its interval, distance and collapse of each of `shown`, then those of reals."""
    steps = sorted(set(facts.table.loc[list(shown), "meta_steps"]))
    after = " or ".join(f"{number:,}" for number in steps)
    words = [f"{own.label} {_measures(judged[judged['variant'] == name], bool(facts.table.loc[name, 'seeds']))}" for name, own in shown.items()]
    real = judged[judged["variant"] == REAL]
    if real["kid"].notna().any():
        words.append(f"real drawings against others {kid(real)}")
    return f"Ours, after {after} meta-step{'s' * (steps != [1])}: {'; '.join(words)}.{_order(judged, shown)}"


def kid(rows: pd.DataFrame) -> str:
    """"KID 0.12" of one variant's rows, with the interval that their number allows."""
    mean, low, high = _interval(rows)
    if math.isnan(low):
        return f"KID {mean:.3g}"
    known = rows["kid"].notna().sum()
    return f"KID {mean:.3g} ({low:.3g} to {high:.3g}{f', {known} seeds' if known > 1 else ''})"


def reading(judged: pd.DataFrame) -> str:
    """What the numbers mean, for a caption."""
    known = judged[judged["variant"] != REAL].dropna(subset="kid").groupby("variant").size()
    if known.empty:
        return ""
    text = "KID: kernel distance to real drawings in the features of a separate encoder, lower is more realistic, with its 95 % interval"
    kinds = ["over tasks (bootstrap)"] * bool((known == 1).any()) + ["over seeds (Student's t)"] * bool((known > 1).any())
    return f"{text} {' or, with several seeds, '.join(kinds)}. Distance: to the conditioning image. Collapse: likeness of one class's draws, 1 = all alike."


def _measures(rows: pd.DataFrame, finished: bool) -> str:
    if not finished:
        return "every seed diverged"
    if rows["kid"].isna().all():
        return "not judged"
    return f"{kid(rows)}, distance {rows['distance'].mean():.2g}, collapse {rows['collapse'].mean():.2g}"


def _order(judged: pd.DataFrame, shown: dict[str, Style]) -> str:
    """Which one has the lowest KID, and whether the intervals tell it apart."""
    known = {name: judged[judged["variant"] == name] for name in shown}
    found = {name: _interval(rows) for name, rows in known.items() if rows["kid"].notna().any()}
    if len(found) < 2:
        return ""
    best = min(found, key=lambda name: found[name][0])
    near = [name for name in found if name != best and not found[name][1] > found[best][2]]
    told = f"not told apart by its interval from {', '.join(shown[name].label for name in near)}" if near else "its interval apart from the others'"
    return f" Lowest KID: {shown[best].label}, {told}."


def _interval(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Mean KID with the ends of its interval: over seeds where there are several, else that of the one seed."""
    known = rows.dropna(subset="kid")
    mean = float(known["kid"].mean())
    if len(known) > 1:
        half = seed_interval(known["kid"])
        return mean, mean - half, mean + half
    return mean, float(known["kid_low"].iloc[0]), float(known["kid_high"].iloc[0])
