"""Reads the results of earlier stages, and refuses files that are missing, damaged or of another run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from megan.config import paths
from megan.config.params import Params
from megan.errors import MeganError
from megan.runs import result

COMMAND = "dvc repro"
SNAPSHOTS = ["seed", "meta_step", "accuracy", "standard_error", "loss", "fake_wins"]


class ReportError(MeganError):
    """An input of the report is missing or wrong. The message names the file and the command to run."""


@dataclass(frozen=True)
class Divergence:
    """The meta-step at which the loss of a seed was no longer finite. `loss` is NaN if none was recorded."""

    meta_step: int
    loss: float


@dataclass(frozen=True)
class VariantResults:
    """All results of one variant.

    `meta_batch`: tasks of a meta-step. `short`: it trained on fewer tasks than any claim needs.
    `curve` has the columns seed, meta_step, split (`train` | `validation`), accuracy,
    loss, fake_wins, and includes a diverged seed up to its divergence. Tables of finished seeds only:
    `tasks` (seed, task, accuracy, fake_wins, alphabet, which is "" if the classes are of several);
    `steps` (seed, inner_step, accuracy, fake_wins, p_fake_of_reals, p_fake_of_fakes: mean probabilities
    of "fake", NaN where there are none); `snapshots` (SNAPSHOTS): meta-test at the meta-steps whose weights
    training kept; it may be empty. Accuracy and fake_wins are shares from 0 to 1, fake_wins is NaN without fakes.
    """

    variant: str
    label: str
    tier: str
    meta_steps: int
    meta_batch: int
    short: bool
    seeds: tuple[int, ...]
    best_meta_step: dict[int, int]
    diverged: dict[int, Divergence]
    curve: pd.DataFrame
    tasks: pd.DataFrame
    steps: pd.DataFrame
    snapshots: pd.DataFrame

    @property
    def finished(self) -> list[int]:
        """Seeds that did not diverge. Means are over these seeds."""
        return [seed for seed in self.seeds if seed not in self.diverged]


def broken(path: Path, problem: str) -> ReportError:
    return ReportError(f"{path} {problem}; run `{COMMAND}` to make it again")


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV table with at least `columns`. Raises `ReportError` if it is missing or damaged."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise ReportError(f"{path} is missing; run `{COMMAND}` to make it") from None
    except OSError as error:
        raise broken(path, f"cannot be read ({error.strerror})") from None
    # Every writer ends its last line. Without this check a file cut within a number would parse.
    if not text.endswith(b"\n"):
        raise broken(path, "is incomplete: its last line is cut short")
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise broken(path, f"is not a readable CSV file ({' '.join(str(error).split())})") from None
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise broken(path, f"has no column {absent[0]!r}")
    return table


def read_json(path: Path, keys: list[str]) -> dict[str, Any]:
    """A JSON object with at least `keys`. Raises `ReportError` if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReportError(f"{path} is missing; run `{COMMAND}` to make it") from None
    except OSError as error:
        raise broken(path, f"cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise broken(path, "is not valid JSON") from None
    if not isinstance(content, dict):
        raise broken(path, "is not a JSON object")
    absent = [key for key in keys if key not in content]
    if absent:
        raise broken(path, f"has no key {absent[0]!r}")
    return content


def variant_results(params: Params, variant: str) -> VariantResults:
    """All training and test results of one variant. Their digests were verified before."""
    trained, tested = paths.trained(params.study, variant), paths.tested(params.study, variant)
    record, options = result.load(trained), params.variant(variant)
    meta_steps = record["meta_steps"]
    diverged = {
        int(seed): Divergence(what["meta_step"], float("nan") if what["loss"] is None else what["loss"])
        for seed, what in record["diverged"].items()
    }
    return VariantResults(
        variant=variant,
        label=params.styles[variant].label,
        tier=options.tier,
        meta_steps=meta_steps,
        meta_batch=params.current.train.meta_batch,
        short=meta_steps * params.current.train.meta_batch < params.claims.shortest,
        seeds=tuple(record["seeds"]),
        best_meta_step={int(seed): step for seed, step in record["best_meta_step"].items()},
        diverged=diverged,
        curve=_sorted(trained / "curve.csv", ["seed", "meta_step", "split"]),
        tasks=_of_finished(_with_alphabets(_sorted(tested / "tasks.csv", ["seed", "task"], ["alphabet"])), diverged),
        steps=_of_finished(_sorted(tested / "steps.csv", ["seed", "inner_step"]), diverged),
        snapshots=_of_finished(_snapshots(tested / "snapshots.csv"), diverged),
    )


def _snapshots(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame(columns=SNAPSHOTS)
    return read_table(path, SNAPSHOTS)[SNAPSHOTS].sort_values(["seed", "meta_step"], ignore_index=True)


def _of_finished(table: pd.DataFrame, diverged: dict[int, Divergence]) -> pd.DataFrame:
    """The table without rows of diverged seeds, so that no mean includes them."""
    return table[~table["seed"].isin(list(diverged))].reset_index(drop=True)


def _with_alphabets(table: pd.DataFrame) -> pd.DataFrame:
    """With "" where a task has no alphabet of its own. A column without any name is read as numbers."""
    return table.assign(alphabet=table["alphabet"].astype(object).fillna(""))


def _sorted(path: Path, keys: list[str], further: Sequence[str] = ()) -> pd.DataFrame:
    columns = ["accuracy", "loss", "fake_wins"] if "split" in keys else ["accuracy", "fake_wins", *further]
    columns += ["p_fake_of_reals", "p_fake_of_fakes"] if "inner_step" in keys else []
    return read_table(path, keys + columns)[keys + columns].sort_values(keys, kind="stable", ignore_index=True)
