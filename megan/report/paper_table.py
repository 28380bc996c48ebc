"""The paper's numbers beside ours: how its single runs look among our seeds."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from scipy import stats

from megan.config import paths
from megan.report import paper_curves
from megan.report.inputs import read_table

NAME = "paper.csv"
COLUMNS = [
    "figure", "curve", "study", "variant", "label", "meta_step", "paper", "reading_error", "our_meta_step", "split",
    "ours", "difference", "lowest_seed", "highest_seed", "spread", "seeds", "inside", "run", "last",
]  # fmt: skip
LEVEL = 0.95
FARTHEST = 0.5  # a number of ours is compared if its training tasks are at most this share away from the paper's


def build(study: str, labels: dict[str, str], tables: Path, meta_batch: int) -> pd.DataFrame:
    """One row for each point of the paper's curves that belongs to a variant of the study.

    **Arguments** `labels` of the study's variants, by name; `tables`: their folder; `meta_batch`: tasks of our
    meta-steps.

    Columns: figure, curve, meta_step, paper and reading_error as in `paper_figures.csv`; study, variant and its label;
    ours, the mean over seeds at our_meta_step, the one with the nearest number of training tasks; split, `validation`
    or `test`, the same for a whole curve (`_split`); difference, ours minus the paper's; the lowest and the highest
    seed, and spread, the half-width of `run_interval`; inside, whether the difference is within spread and
    reading_error: "yes", "no", or empty with one seed; run, the folder of the training; last, whether it is the last
    point of its curve. Cells of ours are empty if no meta-step is near (`FARTHEST`). Accuracies are shares from 0 to 1.
    """
    ours = _ours(tables)
    rows = []
    for (figure, curve), points in paper_curves.read().groupby(["figure", "curve"], sort=False):
        name = paper_curves.owner(points, list(labels))
        if not name:
            continue
        about = {"figure": figure, "curve": curve, "study": study, "variant": name}
        about |= {"label": labels[name], "run": paths.trained(study, name).as_posix()}
        own = ours[ours["variant"] == name].dropna(subset=["accuracy"])
        own = own[own["split"] == _split(points, own, meta_batch)]
        for point in points.sort_values("meta_step").itertuples():
            last = point.meta_step == points["meta_step"].max()
            told = {"meta_step": point.meta_step, "paper": point.accuracy, "reading_error": point.reading_error}
            rows.append({**about, **told, "last": last, **_beside(point, own, meta_batch)})
    return pd.DataFrame(rows, columns=COLUMNS).astype({"our_meta_step": "Int64", "seeds": "Int64"})


def run_interval(values: Sequence[float]) -> float:
    """Half-width of the interval in which one further seed lies with 95 %, around the mean of `values`.

    `t s sqrt(1 + 1 / k)`, with `s` the standard deviation over the k seeds and t the 97.5 % quantile with k - 1 degrees
    of freedom: the prediction interval of one draw of a normal distribution (Geisser 1993, section 2). The paper's
    numbers are of one run each, so this, and not the narrower interval of the mean, is what they are held against.

    **Returns** NaN for fewer than two seeds.
    """
    known = pd.Series(values, dtype=float)
    if len(known) < 2:
        return math.nan
    quantile = stats.t.ppf(0.5 + LEVEL / 2, len(known) - 1)
    return float(quantile * known.std(ddof=1) * math.sqrt(1 + 1 / len(known)))


def _ours(tables: Path) -> pd.DataFrame:
    """Our accuracies over training: meta-test of kept weights (`split` is `test`) and validation."""
    keys = ["variant", "seed", "meta_step", "accuracy"]
    curves = read_table(tables / "curves.csv", [*keys, "split"])
    lost = read_table(tables / "diverged.csv", ["variant", "seed"])
    kept = pd.DataFrame(columns=keys)
    if (tables / "snapshots.csv").is_file():  # records of before 2026-11-28 have none
        kept = read_table(tables / "snapshots.csv", keys)
    kept = kept.assign(split="test")
    validation = curves.loc[curves["split"] == "validation", [*keys, "split"]]
    found = pd.concat([kept[[*keys, "split"]], validation]) if len(kept) else validation
    gone = set(zip(lost["variant"], lost["seed"], strict=True))
    runs = zip(found["variant"], found["seed"], strict=True)
    return found[pd.Series([run not in gone for run in runs], index=found.index, dtype=bool)]


def _split(points: pd.DataFrame, own: pd.DataFrame, meta_batch: int) -> str:
    """The split whose meta-steps are nearest to the points of a curve of the paper, in sum; meta-test if it is a tie.

    One split for all points, because meta-test and validation classes are not equally difficult: a curve that changes
    between them would have steps that no run made.
    """
    wanted = [paper_curves.as_ours(step, meta_batch) for step in points["meta_step"]]
    far = {
        split: sum(min(abs(at - step) for at in rows["meta_step"].unique()) for step in wanted)
        for split, rows in own.groupby("split")
    }
    return min(far, key=lambda split: (far[split], split != "test"), default="")


def _beside(point: object, own: pd.DataFrame, meta_batch: int) -> dict[str, object]:
    """Our cells of a row. `own`: the accuracies of one variant, on one split."""
    step, paper, error = (getattr(point, key) for key in ("meta_step", "accuracy", "reading_error"))
    wanted = paper_curves.as_ours(step, meta_batch)
    near = min(own["meta_step"].unique(), key=lambda at: (abs(at - wanted), at), default=None)
    if near is None or abs(near - wanted) > FARTHEST * wanted:
        return {}
    at = own[own["meta_step"] == near]
    values = at["accuracy"]
    spread, difference = run_interval(values), values.mean() - paper
    return {
        "our_meta_step": near, "split": at["split"].iloc[0], "ours": values.mean(), "difference": difference,
        "seeds": len(values), "lowest_seed": values.min(), "highest_seed": values.max(), "spread": spread,
        "inside": "" if math.isnan(spread) else "yes" if abs(difference) <= spread + error else "no",
    }  # fmt: skip
