"""What a piece of work on a variant belongs to: its digest, and the check that an input still fits."""

import json
import sys
from pathlib import Path
from typing import Any

from megan import paths, storage
from megan.errors import MeganError
from megan.params import Params

# Contracts that every stage imports. A new key or path must not disown finished work.
CONTRACTS = ("megan.__main__", "megan.params", "megan.schema", "megan.paths", "megan.errors", "megan.progress", "megan.settings", "megan.storage", "megan.provenance")


class StaleError(MeganError):
    """An input was made by other parameters, data or code; the message names both and the way out."""


def modules() -> dict[str, str]:
    """SHA-256 of every source file of this package that the running stage has imported."""
    loaded = {name: module.__file__ for name, module in sys.modules.items() if name.startswith("megan.")}
    return {name: storage.digest_file(Path(file)) for name, file in sorted(loaded.items()) if file and name not in CONTRACTS}


def parameters(params: Params, variant: str) -> dict[str, Any]:
    """Everything in `params.yaml` that shapes the variant's training, resolved."""
    study = params.current
    return {
        "study": params.study,
        "variant": variant,
        **{block: getattr(study, block).model_dump(mode="json") for block in ("data", "tasks", "inner", "train")},
        "tier": params.tier(variant).model_dump(mode="json", exclude={"test_tasks"}),
        "options": params.variant(variant).model_dump(mode="json"),
    }


def data_digests(study: str, *splits: str) -> dict[str, str]:
    """SHA-256 of each packed split. Raises `StaleError` when one is missing."""
    try:
        return {name: storage.digest_file(paths.split(study, name)) for name in splits}
    except FileNotFoundError as error:
        raise StaleError(f"{error.filename} is not here; run: dvc repro prepare") from None


def write_record(folder: Path, identity: dict[str, Any], content: dict[str, Any]) -> None:
    """`record.json`: the content, what made it, and a digest of each file that stands beside it."""
    files = {file.name: storage.digest_file(file) for file in sorted(folder.iterdir()) if file.is_file()}
    storage.write_json(folder / "record.json", {**content, **identity, "digest": storage.digest(identity), "files": files})


def read_record(folder: Path, stage: str) -> dict[str, Any]:
    """A result's `record.json`.

    **Raises** `StaleError` when it is missing or unreadable, or when a file beside it is
    not the one it describes.
    """
    path = folder / "record.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        files = dict(record["files"])
        if not isinstance(record.get("parameters", {}), dict):
            raise TypeError("its parameters are no mapping")
    except RecursionError:
        raise StaleError(f"{path} cannot be read (nested too deeply); run: dvc repro {stage}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StaleError(f"{path} cannot be read ({error}); run: dvc repro {stage}") from None
    for name, digest in files.items():
        if not (folder / name).is_file() or storage.digest_file(folder / name) != digest:
            raise StaleError(f"{folder / name} is not the file that {path} describes; run: dvc repro -f -s {stage}")
    return record


def stands(folder: Path, identity: dict[str, Any], stage: str) -> bool:
    """Whether `folder` already holds the whole result of exactly this work."""
    try:
        return read_record(folder, stage).get("digest") == storage.digest(identity)
    except StaleError:
        return False


def check_fits(folder: Path, wanted: dict[str, Any], stage: str) -> dict[str, Any]:
    """The record of a result that `wanted` parameters ask for.

    **Raises** `StaleError` naming the first key that differs, both values, and the command.
    """
    record = read_record(folder, stage)
    made_by = record.get("parameters", {})
    for key, value in wanted.items():
        if made_by.get(key) != value:
            raise StaleError(f"{folder} was made with {key} = {made_by.get(key)!r}, params.yaml says {value!r}; run: dvc repro {stage}")
    return record
