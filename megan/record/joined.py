"""Joins what the stages made of the variants that were run here with the rows and images that the record keeps."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from megan.config import paths
from megan.config.params import Params
from megan.record import pictures
from megan.record.manifest import RecordError
from megan.report.statistics import seed_interval
from megan.report.tables import REFERENCE, validation
from megan.runs import result, storage
from megan.stages import registry, summary
from megan.stages.registry import Stage
from megan.stages.samples import REAL

SAMPLES = "samples"
STAGES = (SAMPLES, "summary")  # they write tables with rows of every variant
WIDE = "validation.csv"  # has a column for each variant
ANEW = "make the record with the code that made it, or run all its variants again"
OF_ALPHABETS = ["difference", "difference_ci95_seeds"]


def join(params: Params, stage: Stage, record: Path, kept: Sequence[str]) -> None:
    """Add to the result of one of `STAGES`, in the working directory, the variants `kept` of the `record`.

    **Arguments** `params`: of all these variants and those that were run here.
    **Raises** `RecordError` if the record has other tables than the present code writes, or one has other columns.
    """
    folder = stage.folder
    ran = (folder / result.RECORD).is_file()
    about: dict[str, Any] = result.load(folder) if ran else {"study": params.study}
    folder.mkdir(parents=True, exist_ok=True)
    tables(record / folder.name, folder, kept, params)
    if stage.address == SAMPLES:
        pictures.add(record, folder, kept, params.current.data.side)
        known = result.load(record / folder.name)
        about["variants"] = [name for name in params.variants if name in {*about["variants"], *known["variants"]}]
        about["seed"] = about["seed"] if known["seed"] is None else known["seed"]
    else:
        built = {name: pd.read_csv(folder / f"{name}.csv") for name in ("accuracy", "comparisons")}
        storage.write_json(paths.metrics(params.study), summary.metrics(built))
    digests = registry.Digests(params)
    identity = {
        "parameters": registry.parameters(params, stage),
        "inputs": {path: digests.of(path) for path in stage.inputs},
        "code": registry.code(stage),
    }
    result.write(folder, identity, about)


def tables(record: Path, here: Path, kept: Sequence[str], params: Params) -> None:
    """Write to the tables in `here` also the rows of the variants `kept` from those in `record`.

    Both folders hold tables of the same names. Rows are in the order of `params.variants`; labels and tiers are those
    of `params`. Where a variant and the reference were tested on different machines, their difference is that of the
    means of each seed: the tasks of a seed are the same everywhere, so it is paired all the same. Seeds with different
    numbers of tasks are left out of it. What needs the single tasks is left empty.
    """
    known, new = ({path.name for path in folder.glob("*.csv")} for folder in (record, here))
    if new and known != new:
        raise RecordError(
            f"the record has the tables {', '.join(sorted(known))}, and the present code writes"
            f" {', '.join(sorted(new))}; {ANEW}"
        )
    order = list(params.variants)
    for name in sorted(known - {WIDE}):
        rows = read(record / name)
        rows = _as_now(rows[rows["variant"].isin([*kept, REAL])], params)
        write(_stacked(rows, read(here / name), name, order) if new else rows, here / name)
    if WIDE in known:
        _compare(here, kept, order)
        write(validation(pd.read_csv(here / "curves_mean.csv"), order), here / WIDE)


def read(path: Path) -> pd.DataFrame:
    """A table whose cells are texts, so that no digit changes."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def write(table: pd.DataFrame, path: Path) -> None:
    """As stage `summary` writes it."""
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def _as_now(rows: pd.DataFrame, params: Params) -> pd.DataFrame:
    """The rows with the present label and tier of each variant, which change no result."""
    present = {
        "label": {name: style.label for name, style in params.styles.items()},
        "tier": {name: variant.tier for name, variant in params.variants.items()},
    }
    return rows.assign(**{name: rows["variant"].map(values) for name, values in present.items() if name in rows})


def _stacked(kept: pd.DataFrame, new: pd.DataFrame, name: str, order: Sequence[str]) -> pd.DataFrame:
    if list(kept) != list(new):
        raise RecordError(
            f"the record's {name} has the columns {', '.join(kept)}, and the present code writes {', '.join(new)};"
            f" {ANEW}"
        )
    rows = pd.concat([kept, new], ignore_index=True)
    real = rows["variant"].eq(REAL)
    if real.any():  # each machine has measured them
        measured = rows[real].drop_duplicates("seed").sort_values("seed", key=pd.to_numeric)
        rows = pd.concat([rows[~real], measured], ignore_index=True)
    return _sorted(rows, order)


def _sorted(rows: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """The rows in the order of the variants, those of real images last."""
    places = {variant: place for place, variant in enumerate([*order, REAL])}
    return rows.sort_values("variant", key=lambda names: names.map(places), kind="stable")


def _compare(here: Path, kept: Sequence[str], order: Sequence[str]) -> None:
    """In `comparisons.csv` and `alphabets.csv`: the differences of variants tested elsewhere than the reference."""
    if REFERENCE not in order:
        return
    apart = [name for name in order if (name in kept) != (REFERENCE in kept)]
    rows, alphabets = read(here / "comparisons.csv"), read(here / "alphabets.csv")
    rows = rows[~rows["variant"].isin(apart)]
    table = pd.read_csv(here / "accuracy.csv").set_index("variant")
    seeds = pd.read_csv(here / "seeds.csv")
    found = [_of_seeds(name, table, seeds) for name in apart]
    rows = pd.concat([rows, pd.DataFrame(found, columns=list(rows))], ignore_index=True)
    write(_sorted(rows, order), here / "comparisons.csv")
    alphabets.loc[alphabets["variant"].isin(apart), OF_ALPHABETS] = ""
    write(alphabets, here / "alphabets.csv")


def _of_seeds(name: str, table: pd.DataFrame, seeds: pd.DataFrame) -> dict[str, Any]:
    """A row of `comparisons.csv` from the mean accuracies of the common seeds with the same number of tasks."""
    own, other = (seeds[seeds["variant"] == one] for one in (name, REFERENCE))
    pairs = own.merge(other, on=["seed", "tasks"], suffixes=("", "_reference"))
    differences = pairs["accuracy"] - pairs["accuracy_reference"]
    return {
        "variant": name,
        "label": table.loc[name, "label"],
        "reference": REFERENCE,
        "difference": _digits(differences.mean()),
        "ci95_seeds": _digits(seed_interval(differences)),
        "seeds": len(pairs),
        "tasks": int(pairs["tasks"].sum()),
        "meta_steps": int(table.loc[name, "meta_steps"]),
        "reference_meta_steps": int(table.loc[REFERENCE, "meta_steps"]),
    }


def _digits(value: float) -> str:
    """As `write` writes a number. A column with texts too is not formatted."""
    return "" if math.isnan(value) else f"{value:.6g}"
