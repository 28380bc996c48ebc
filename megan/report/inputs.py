"""Reading what the stages before left, and refusing what is missing, torn or of another run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from megan import paths
from megan.errors import MeganError
from megan.params import Params

COMMAND = "dvc repro"
_ROUNDING = 1e-6  # float32 means of accuracies may pass 1 by this much


class ReportError(MeganError):
    """An input of the report is missing or wrong; one line names the file and what to run."""


@dataclass(frozen=True)
class Divergence:
    """Where the loss of a seed stopped being finite. `loss` is NaN where none was recorded."""

    meta_step: int
    loss: float


@dataclass(frozen=True)
class VariantResults:
    """All results of one variant, checked against `params.yaml`.

    `short`: it trained for fewer meta-steps than a verdict on a claim asks for.
    `curve` has the columns seed, meta_step, split (`train` | `validation`), accuracy,
    loss, fake_wins, and keeps what a diverged seed did before. `tasks` (seed, task,
    accuracy, fake_wins) and `steps` (seed, inner_step, accuracy, fake_wins) hold finished
    seeds only. Accuracy and fake_wins are shares from 0 to 1, fake_wins NaN without fakes.
    """

    variant: str
    label: str
    tier: str
    meta_steps: int
    short: bool
    seeds: tuple[int, ...]
    best_meta_step: dict[int, int]
    diverged: dict[int, Divergence]
    curve: pd.DataFrame
    tasks: pd.DataFrame
    steps: pd.DataFrame

    @property
    def finished(self) -> list[int]:
        """Seeds that did not diverge: the ones that means are taken over."""
        return [seed for seed in self.seeds if seed not in self.diverged]


def broken(path: Path, problem: str) -> ReportError:
    return ReportError(f"{path} {problem}; run `{COMMAND}` to make it anew")


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV table with at least `columns`. Raises `ReportError` when it is missing or torn."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise ReportError(f"{path} is missing; run `{COMMAND}` to make it") from None
    except OSError as error:
        raise broken(path, f"cannot be read ({error.strerror})") from None
    # Every writer ends its last line: a file that stops inside a number still parses.
    if not text.endswith(b"\n"):
        raise broken(path, "is torn: its last line is cut short")
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise broken(path, f"is no readable CSV ({' '.join(str(error).split())})") from None
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise broken(path, f"lacks the column {absent[0]!r}")
    return table


def read_json(path: Path, keys: list[str]) -> dict[str, Any]:
    """A JSON object with at least `keys`. Raises `ReportError` when it is missing or torn."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReportError(f"{path} is missing; run `{COMMAND}` to make it") from None
    except OSError as error:
        raise broken(path, f"cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise broken(path, "is no valid JSON") from None
    if not isinstance(content, dict):
        raise broken(path, "is no JSON object")
    absent = [key for key in keys if key not in content]
    if absent:
        raise broken(path, f"lacks the key {absent[0]!r}")
    return content


def encoder_metrics(study: str) -> dict[str, Any]:
    """`validation_accuracy` (0 to 1), `validation_drawings` and `classes` of the encoder."""
    path = paths.encoder(study) / "metrics.json"
    keys = ["validation_accuracy", "validation_drawings", "classes"]
    content = read_json(path, keys)
    for key in keys:
        if isinstance(content[key], bool) or not isinstance(content[key], (int, float)) or not np.isfinite(content[key]):
            raise broken(path, f"has {key} = {content[key]!r:.40}, no number")
    return {key: content[key] for key in keys}


def variant_results(params: Params, variant: str) -> VariantResults:
    """Read and check everything that training and testing left of one variant."""
    trained, tested = paths.trained(params.study, variant), paths.tested(params.study, variant)
    seeds, meta_steps = params.tier(variant).seeds, params.tier(variant).meta_steps
    train, train_diverged = _record(trained / "record.json", params, variant)
    test, test_diverged = _record(tested / "record.json", params, variant)
    forgotten = sorted(set(train_diverged) - set(test_diverged))
    if forgotten:
        raise broken(tested / "record.json", f"takes seed {forgotten[0]} as finished, which diverged according to {trained / 'record.json'}")
    tasks_wanted = params.tier(variant).test_tasks
    if test.get("tasks") != tasks_wanted:
        raise broken(tested / "record.json", f"is of {test.get('tasks')} tasks, params.yaml asks for {tasks_wanted}")
    try:
        best = {int(seed): int(step) for seed, step in train["best_meta_step"].items() if step is not None}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise broken(trained / "record.json", "has an unreadable 'best_meta_step'") from None
    diverged = {**test_diverged, **train_diverged}  # of both, training knows the earlier moment
    finished = [seed for seed in seeds if seed not in diverged]

    curve = _rows(trained / "curve.csv", ["seed", "meta_step", "split"], ["accuracy", "loss", "fake_wins"], list(seeds), finished)
    _check_curve(trained / "curve.csv", curve, finished, meta_steps)
    tasks = _rows(tested / "tasks.csv", ["seed", "task"], ["accuracy", "fake_wins"], finished, finished)
    for seed in finished:
        count = int((tasks["seed"] == seed).sum())
        if count != tasks_wanted:
            raise broken(tested / "tasks.csv", f"holds {count} tasks of seed {seed}, its record says {tasks_wanted}")
    steps = _rows(tested / "steps.csv", ["seed", "inner_step"], ["accuracy", "fake_wins"], finished, finished)
    for seed in finished:
        found = sorted(steps.loc[steps["seed"] == seed, "inner_step"])
        if found != list(range(params.current.inner.test_steps + 1)):
            raise broken(tested / "steps.csv", f"must hold the inner steps 0 to {params.current.inner.test_steps} of seed {seed}, has {found}")
    return VariantResults(
        variant, params.styles[variant].label, params.variants[variant].tier, meta_steps, meta_steps < params.claims.minimum_meta_steps,
        tuple(seeds), best, diverged, curve, tasks, steps,
    )


def _record(path: Path, params: Params, variant: str) -> tuple[dict[str, Any], dict[int, Divergence]]:
    record = read_json(path, ["study", "variant", "meta_steps", "seeds", "diverged"])
    tier = params.tier(variant)
    wanted = {"study": params.study, "variant": variant, "meta_steps": tier.meta_steps, "seeds": list(tier.seeds)}
    for key, value in wanted.items():
        if record[key] != value:
            raise broken(path, f"is of {key} {record[key]!r:.60}, params.yaml asks for {value!r}")
    try:
        diverged = {
            int(seed): Divergence(int(what["meta_step"]), float("nan") if what["loss"] is None else float(what["loss"]))
            for seed, what in record["diverged"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise broken(path, "has an unreadable 'diverged'") from None
    stranger = sorted(set(diverged) - set(tier.seeds))
    if stranger:
        raise broken(path, f"names a diverged seed {stranger[0]} that is none of its seeds")
    return record, diverged


def _rows(path: Path, keys: list[str], values: list[str], seeds: list[int], finished: list[int]) -> pd.DataFrame:
    """The rows of `seeds`, in the order of `keys`; those of finished seeds complete and in range."""
    table = read_table(path, keys + values)[keys + values]
    for column in values + [key for key in keys if key != "split"]:
        numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
        if (numbers.isna() & table[column].notna()).any() or (column in keys and (numbers % 1 != 0).any()):
            raise broken(path, f"holds no {'whole ' if column in keys else ''}numbers in the column {column!r}")
        table[column] = numbers.astype(int) if column in keys else numbers
    if table.duplicated(keys).any():
        twice = table.loc[table.duplicated(keys), keys].iloc[0]
        raise broken(path, f"holds a row twice ({', '.join(f'{key} {twice[key]}' for key in keys)})")
    checked = table[table["seed"].isin(finished)]
    accuracy = checked["accuracy"]
    if not accuracy.between(0, 1 + _ROUNDING).all():
        raise broken(path, f"holds the accuracy {accuracy[~accuracy.between(0, 1 + _ROUNDING)].iloc[0]}, expected 0 to 1")
    absent = [seed for seed in finished if seed not in set(checked["seed"])]
    if absent:
        raise broken(path, f"has no row of seed {absent[0]}")
    return table[table["seed"].isin(seeds)].sort_values(keys, kind="stable", ignore_index=True)


def _check_curve(path: Path, curve: pd.DataFrame, finished: list[int], meta_steps: int) -> None:
    stranger = sorted(set(curve["split"]) - {"train", "validation"}, key=str)
    if stranger:
        raise broken(path, f"holds the split {stranger[0]!r}, expected 'train' or 'validation'")
    if (curve["meta_step"] > meta_steps).any():
        raise broken(path, f"goes on to meta-step {curve['meta_step'].max()}, params.yaml asks for {meta_steps}")
    # Seeds train together, so a seed with fewer rows than another marks a torn file.
    logged = {seed: set(zip(*[curve.loc[curve["seed"] == seed, key] for key in ("meta_step", "split")])) for seed in finished}
    for seed in finished:
        if logged[seed] != logged[finished[0]]:
            raise broken(path, f"is torn: the seeds {finished[0]} and {seed} have rows at different meta-steps")
