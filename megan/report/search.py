"""Chooses settings by validation accuracy: the search with an equal budget for MAML and for N+1.

The rule, fixed before the search was run: of the variants of one approach, the one with the highest validation
accuracy at the end of meta-training, averaged over the seeds. A variant with a seed that diverged ranks behind those
without. Of equal ones, that with the study's own settings (the paper's) is chosen, then the first.
"""

from dataclasses import dataclass

import pandas as pd

from megan.config import paths
from megan.config.params import Params
from megan.report import statistics
from megan.report.inputs import read_table
from megan.runs import result


@dataclass(frozen=True)
class Tried:
    """A variant that was tried. `accuracy`, `loss`: of the last validation, by seed that finished."""

    variant: str
    approach: str
    outer_step: float
    inner_step: float
    schedule: str
    own: bool  # the study's own settings, unchanged
    diverged: int
    accuracy: dict[int, float]
    loss: dict[int, float]


def read(params: Params, variant: str) -> Tried:
    """The end of one variant's validation curves. Raises `ReportError` if they are missing or damaged."""
    folder, settings = paths.trained(params.study, variant), params.settings(variant)
    curve = read_table(folder / "curve.csv", ["seed", "meta_step", "split", "accuracy", "loss"])
    lost = [int(seed) for seed in result.load(folder)["diverged"]]
    curve = curve[(curve["split"] == "validation") & ~curve["seed"].isin(lost)]
    last = curve.sort_values("meta_step").groupby("seed").last()
    return Tried(
        variant=variant,
        approach=params.variant(variant).approach,
        outer_step=settings.train.learning_rate,
        inner_step=settings.inner.learning_rate,
        schedule=settings.train.schedule,
        own=settings == params.current,
        diverged=len(lost),
        accuracy=last["accuracy"].to_dict(),
        loss=last["loss"].to_dict(),
    )


def ranked(tried: list[Tried]) -> pd.DataFrame:
    """One row for each variant, by approach and rank.

    Columns: approach, rank (from 1), chosen, variant; outer_step, inner_step, schedule; seeds (finished), diverged;
    accuracy, its mean over the seeds (0 to 1), with ci95_seeds, the half-width of `statistics.seed_interval`; loss.
    """
    rows = []
    for approach in dict.fromkeys(one.approach for one in tried):
        order = sorted((one for one in tried if one.approach == approach), key=_rank)
        for rank, one in enumerate(order, start=1):
            rows.append(
                {
                    "approach": approach,
                    "rank": rank,
                    "chosen": rank == 1,
                    "variant": one.variant,
                    "outer_step": one.outer_step,
                    "inner_step": one.inner_step,
                    "schedule": one.schedule,
                    "seeds": len(one.accuracy),
                    "diverged": one.diverged,
                    "accuracy": _mean(one.accuracy),
                    "ci95_seeds": statistics.seed_interval(list(one.accuracy.values())),
                    "loss": _mean(one.loss),
                }
            )
    return pd.DataFrame(rows)


def _rank(one: Tried) -> tuple[bool, float, bool]:
    """Sorts the best first; Python's sort keeps the order of equal ones."""
    return one.diverged > 0 or not one.accuracy, -round(_mean(one.accuracy), 9) if one.accuracy else 0.0, not one.own


def _mean(values: dict[int, float]) -> float:
    return sum(values.values()) / len(values) if values else float("nan")
