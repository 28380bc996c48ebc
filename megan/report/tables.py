"""The tables that figures read.

They contain the variants of `params.yaml`, not those of existing folders, so that results of
a removed variant are left out. All accuracies are shares from 0 to 1. An empty cell means
that the number does not exist (no fakes, only one seed, every seed diverged).
"""

import math
from collections.abc import Sequence

import pandas as pd

from megan.report import statistics
from megan.report.inputs import SNAPSHOTS, VariantResults

STEPS = ["seed", "inner_step", "accuracy", "fake_wins", "p_fake_of_reals", "p_fake_of_fakes"]
REFERENCE = "maml"  # the baseline that every other variant is compared with


def build(study: str, title: str, results: list[VariantResults]) -> dict[str, pd.DataFrame]:
    """All tables, by file name without `.csv`. `title` is that of the data set."""
    means = curves_mean(results)
    return {
        "curves": _stacked(results, "curve", ["seed", "meta_step", "split", "accuracy", "loss", "fake_wins"]),
        "curves_mean": means,
        "validation": validation(means, [result.variant for result in results]),
        "accuracy": accuracy(study, title, results),
        "seeds": seeds(results),
        "comparisons": comparisons(results),
        "alphabets": alphabets(results),
        "steps": _stacked(results, "steps", STEPS, label=False),
        "snapshots": _stacked(results, "snapshots", SNAPSHOTS),
        "diverged": diverged(results),
    }


def _stacked(results: list[VariantResults], what: str, columns: list[str], label: bool = True) -> pd.DataFrame:
    head = ["variant", "label"] if label else ["variant"]
    frames = [
        getattr(result, what).assign(variant=result.variant, label=result.label)
        for result in results
        if not getattr(result, what).empty
    ]
    if not frames:
        return pd.DataFrame(columns=head + columns)
    return pd.concat(frames, ignore_index=True)[head + columns]


def curves_mean(results: list[VariantResults]) -> pd.DataFrame:
    """Columns variant, meta_step, split, accuracy: the mean over the seeds that did not diverge.

    A diverged seed is left out from the start, because a mean would jump if its seeds changed.
    """
    columns = ["variant", "meta_step", "split", "accuracy"]
    frames = []
    for result in results:
        finished = result.curve[result.curve["seed"].isin(result.finished)]
        if not finished.empty:
            mean = finished.groupby(["split", "meta_step"], as_index=False)["accuracy"].mean()
            frames.append(mean.assign(variant=result.variant)[columns])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def validation(means: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The validation accuracy of `curves_mean`, one row for each meta-step and one column for each variant.

    `dvc plots` needs this form. It draws an empty cell as 0, so the rows are the meta-steps at which `maml` was
    validated, if it was.
    """
    wide = means[means["split"] == "validation"].pivot(index="meta_step", columns="variant", values="accuracy")
    wide = wide.reindex(columns=names)
    if REFERENCE in wide and wide[REFERENCE].notna().any():
        wide = wide[wide[REFERENCE].notna()]
    return wide.rename_axis(columns=None).reset_index()


def accuracy(study: str, title: str, results: list[VariantResults]) -> pd.DataFrame:
    """One row for each variant: its meta-test accuracy.

    Columns: study, dataset (its title), variant, label, tier; seeds (averaged), diverged (left out), tasks (over all
    those seeds); accuracy, the mean of the per-seed means; ci95_tasks and ci95_seeds, the
    half-widths of `statistics.task_interval_within_seeds` and `seed_interval`; fake_wins,
    the share of real queries for which the fake output is the largest; meta_steps of training, and
    meta_batch, the tasks of each; short, whether these are too few for a verdict on a claim.
    """
    rows = []
    for result in results:
        by_seed = [result.tasks.loc[result.tasks["seed"] == seed] for seed in result.finished]
        means = [rows_of_seed["accuracy"].mean() for rows_of_seed in by_seed]
        rows.append(
            {
                "study": study,
                "dataset": title,
                "variant": result.variant,
                "label": result.label,
                "tier": result.tier,
                "seeds": len(result.finished),
                "diverged": len(result.diverged),
                "tasks": len(result.tasks),
                "accuracy": _mean(means),
                "ci95_tasks": statistics.task_interval_within_seeds([group["accuracy"] for group in by_seed]),
                "ci95_seeds": statistics.seed_interval(means),
                "fake_wins": _mean([group["fake_wins"].mean() for group in by_seed]),
                "meta_steps": result.meta_steps,
                "meta_batch": result.meta_batch,
                "short": result.short,
            }
        )
    return pd.DataFrame(rows)


def seeds(results: list[VariantResults]) -> pd.DataFrame:
    """One row for each variant and finished seed.

    Columns: variant, label, seed, tasks, accuracy, ci95_tasks (`statistics.task_interval`),
    fake_wins, and best_meta_step, the meta-step of the tested weights.
    """
    columns = ["variant", "label", "seed", "tasks", "accuracy", "ci95_tasks", "fake_wins", "best_meta_step"]
    rows = []
    for result in results:
        for seed in result.finished:
            own = result.tasks[result.tasks["seed"] == seed]
            interval = statistics.task_interval(own["accuracy"])
            best = result.best_meta_step.get(seed)
            rows.append(
                (
                    result.variant,
                    result.label,
                    seed,
                    len(own),
                    own["accuracy"].mean(),
                    interval,
                    own["fake_wins"].mean(),
                    best,
                )
            )
    return pd.DataFrame(rows, columns=columns).astype({"best_meta_step": "Int64"})


def comparisons(results: list[VariantResults]) -> pd.DataFrame:
    """One row for each variant except `maml`: its accuracy minus that of `maml` on common tasks.

    Columns: variant, label, reference; difference, ci95_seeds, ci95_tasks_within_seeds,
    seeds and tasks (pairs used), as in `statistics.PairedDifference`; meta_steps and
    reference_meta_steps, because runs of different length are not comparable; alphabets,
    difference_alphabets and ci95_alphabets, the mean over test alphabets and the half-width over them, as in
    `statistics.over_alphabets`. Empty without `maml`.
    """
    columns = ["variant", "label", "reference", "difference", "ci95_seeds", "ci95_tasks_within_seeds"]
    columns += ["seeds", "tasks", "meta_steps", "reference_meta_steps"]
    columns += ["alphabets", "difference_alphabets", "ci95_alphabets"]
    reference = next((result for result in results if result.variant == REFERENCE), None)
    rows = []
    for result in results:
        if reference and result is not reference:
            paired = statistics.paired_difference(result.tasks, reference.tasks)
            steps: dict[str, float] = {
                "meta_steps": result.meta_steps,
                "reference_meta_steps": reference.meta_steps,
            }
            count, mean, half = statistics.over_alphabets(by_alphabet(result, reference)["difference"])
            steps |= {"alphabets": count, "difference_alphabets": mean, "ci95_alphabets": half}
            rows.append(
                {"variant": result.variant, "label": result.label, "reference": REFERENCE, **vars(paired), **steps}
            )
    return pd.DataFrame(rows, columns=columns)


def alphabets(results: list[VariantResults]) -> pd.DataFrame:
    """One row for each variant and test alphabet; none where the classes of a task are of several alphabets.

    Columns: variant, label, alphabet; seeds and tasks (over these seeds); accuracy, the mean of the per-seed
    means, and ci95_seeds; difference and difference_ci95_seeds, to `maml` on common tasks, empty for `maml` itself
    and for a variant of another length.
    """
    columns = ["variant", "label", "alphabet", "seeds", "tasks", "accuracy", "ci95_seeds"]
    columns += ["difference", "difference_ci95_seeds"]
    reference = next((result for result in results if result.variant == REFERENCE), None)
    rows = []
    for result in results:
        compared = pd.DataFrame(columns=["difference", "ci95_seeds"])
        if reference and result is not reference and result.meta_steps == reference.meta_steps:
            compared = by_alphabet(result, reference)
        for alphabet, own in result.tasks[result.tasks["alphabet"] != ""].groupby("alphabet"):
            means = own.groupby("seed")["accuracy"].mean()
            row = [result.variant, result.label, alphabet, len(means), len(own), means.mean()]
            known = compared.loc[alphabet] if alphabet in compared.index else (math.nan, math.nan)
            rows.append([*row, statistics.seed_interval(means), *known])
    return pd.DataFrame(rows, columns=columns)


def by_alphabet(result: VariantResults, reference: VariantResults) -> pd.DataFrame:
    """By alphabet: difference and ci95_seeds of `statistics.paired_difference` on the tasks of that alphabet."""
    rows = {}
    for alphabet, own in result.tasks[result.tasks["alphabet"] != ""].groupby("alphabet"):
        other = reference.tasks[reference.tasks["alphabet"] == alphabet]
        paired = statistics.paired_difference(own, other)
        rows[alphabet] = (paired.difference, paired.ci95_seeds)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["difference", "ci95_seeds"], dtype=float)


def diverged(results: list[VariantResults]) -> pd.DataFrame:
    """Columns variant, label, seed, meta_step, loss: the diverged seeds, which no mean contains."""
    rows = [
        (result.variant, result.label, seed, result.diverged[seed].meta_step, result.diverged[seed].loss)
        for result in results
        for seed in sorted(result.diverged)
    ]
    return pd.DataFrame(rows, columns=["variant", "label", "seed", "meta_step", "loss"])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
