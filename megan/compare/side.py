"""One side of a comparison: the meta-test results of a variant, wherever they are.

A side is named `[WHERE/]VARIANT[@REVISION]`. WHERE is a study or a folder of results (`results/record/omniglot_2500`);
without it the current study is meant. REVISION is a commit, branch or tag of git, or an experiment of DVC.
"""

import difflib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from megan import record
from megan.compare import revision
from megan.config import params as parameters
from megan.config import paths
from megan.config.params import Params
from megan.errors import MeganError
from megan.report.inputs import read_table
from megan.runs import result
from megan.stages import registry

TASKS, SEEDS = ["seed", "task", "accuracy"], ["variant", "seed", "tasks", "accuracy"]
FORM = "expected VARIANT, STUDY/VARIANT or FOLDER/VARIANT, then perhaps @REVISION"


class SideError(MeganError):
    """There is no such variant, or it is not tested. The message says what was expected, or what to run first."""


@dataclass(frozen=True)
class Side:
    """The meta-test of one variant. `made` is the `record.json` of its stage `test`.

    `seeds` has the columns seed, tasks, accuracy (mean over its tasks, 0 to 1). `tasks` has the columns seed, task,
    accuracy and, from the tests of this version, alphabet; None in a record, which keeps only the means.
    """

    name: str
    made: dict[str, Any]
    seeds: pd.DataFrame
    tasks: pd.DataFrame | None


def file_name(name: str) -> str:
    """The name of a side as a part of a file's name."""
    return re.sub(r"[^\w.@]+", "_", name).strip("_.")


def read(params: Params, name: str) -> Side:
    """The side `[WHERE/]VARIANT[@REVISION]`, with every file checked against its digest.

    **Raises** `SideError`, `ParamsError`, `StaleError`, `RecordError` or `RevisionError`; each says what to do.
    """
    spot, at, rev = name.partition("@")
    where, _, variant = spot.rpartition("/")
    if not variant or (at and not rev):
        raise SideError(f"{name!r} names no variant; {FORM}")
    if rev:
        return _of_revision(params, name, (where, variant, rev))
    if not where or where in params.studies:
        return _of_study(params.of(where or params.study), name, variant)
    folder = Path(where)
    if (folder / record.MANIFEST).is_file():
        return _of_record(folder, name, variant)
    if not (folder / "test").is_dir():
        raise SideError(f"{name!r}: {_nowhere(params, where)}")
    if not (folder / "test" / variant).is_dir():
        raise SideError(_no_variant(folder, variant, [path.name for path in (folder / "test").iterdir()]))
    return _tested(name, folder / "test" / variant, f"test@{variant}")


def _folder(params: Params, where: str) -> Path:
    """The folder of results that WHERE stands for."""
    return paths.results(where or params.study) if not where or where in params.studies else Path(where)


def _of_study(params: Params, name: str, variant: str) -> Side:
    """Refuses results that the present parameters would not give."""
    params.variant(variant)
    stage = registry.find(params, "test", variant)
    try:
        registry.Digests(params).verified(stage.folder.as_posix())
    except result.StaleError as error:
        raise SideError(f"{error}{_elsewhere(params, variant)}") from None
    return _tested(name, stage.folder, stage.target)


def _elsewhere(params: Params, variant: str) -> str:
    """How to get results of a study that `dvc repro` does not run, and of one that has a record."""
    study, words = params.study, ""
    if not paths.pipeline(study) and study != parameters.read()["study"]:
        words = f" in study {study}, as by: dvc exp run -S study={study} test@{variant}"
    kept = paths.RECORD / study
    if (kept / "test" / variant).is_dir():
        words += f"; or compare with its record, {kept / variant}"
    return words


def _of_record(folder: Path, name: str, variant: str) -> Side:
    """A record keeps the mean of each seed, and `record.json` of the meta-test."""
    record.verify(folder)
    table = read_table(folder / "tables" / "seeds.csv", SEEDS)
    own = table.loc[table["variant"] == variant, SEEDS[1:]].reset_index(drop=True)
    if own.empty:
        raise SideError(_no_variant(folder, variant, table["variant"].unique().tolist()))
    return Side(name, result.load(folder / "test" / variant), own, None)


def _of_revision(params: Params, name: str, parts: tuple[str, str, str]) -> Side:
    """`parts`: WHERE, VARIANT, REVISION."""
    where, variant, rev = parts
    folder = _folder(params, where)
    with tempfile.TemporaryDirectory() as temporary, revision.opened(rev) as tree:
        copy, known = Path(temporary) / variant, tree.names(folder / "test")
        if not known:
            there = where in ("", *params.studies) or folder.exists()
            told = f"{folder} has no meta-test results; {revision.HINT}" if there else _nowhere(params, where)
            raise SideError(f"{name!r}: at revision {rev} {told}")
        if variant not in known:
            raise SideError(f"{_no_variant(folder, variant, known)} (revision {rev})")
        if tree.exists(folder / record.MANIFEST):
            tree.fetch(folder, copy)
            return _of_record(copy, name, variant)
        tree.fetch(folder / "test" / variant, copy)
        return _tested(name, copy, f"test@{variant} at revision {rev}")


def _tested(name: str, folder: Path, address: str) -> Side:
    """The folder of a stage `test`."""
    made = result.verified(folder, address)
    table = read_table(folder / "tasks.csv", TASKS)
    groups = table.groupby("seed")["accuracy"]
    seeds = groups.agg(tasks="size", accuracy="mean").reset_index()
    return Side(name, made, seeds, table)


def _no_variant(folder: Path, variant: str, known: list[str]) -> str:
    if not known:
        return f"{folder} has no meta-test results of any variant; run: dvc repro test@{variant}"
    return f"{folder} has no meta-test results of a variant {variant!r}; {hint(variant, known)}"


def _nowhere(params: Params, where: str) -> str:
    folders = [path.parent.as_posix() for path in paths.RECORD.glob(f"*/{record.MANIFEST}")]
    known = [*params.studies, *folders]
    return f"there is no study {where!r}, and no folder of results there; {hint(where, known)}"


def hint(wrong: str, known: list[str]) -> str:
    """The known name that was probably meant, or all of them."""
    near = difflib.get_close_matches(wrong, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(sorted(known))}"
