"""The record of a result: `record.json` says how it was made, and holds a digest of each file in the folder."""

import json
from pathlib import Path
from typing import Any

from megan.errors import MeganError
from megan.runs import storage

RECORD = "record.json"


class StaleError(MeganError):
    """A result is missing, altered, or made with other parameters or data. The message says what to run."""


def write(folder: Path, identity: dict[str, Any], content: dict[str, Any]) -> None:
    """Write `record.json`: the content, the identity of the job, and the digest of each file in `folder`."""
    files = {
        file.name: storage.digest_file(file)
        for file in sorted(folder.iterdir())
        if file.is_file() and file.name != RECORD
    }
    storage.write_json(folder / RECORD, {**content, **identity, "digest": storage.digest(identity), "files": files})


def load(folder: Path) -> dict[str, Any]:
    """The record of a result that `verified` has checked before."""
    return json.loads((folder / RECORD).read_text(encoding="utf-8"))


def verified(folder: Path, address: str) -> dict[str, Any]:
    """The record of the result of stage `address`, after checking every file of the result.

    **Raises** `StaleError` if it is missing or unreadable, or if a file does not match its digest.
    """
    path = folder / RECORD
    try:
        record = load(folder)
        files = dict(record["files"])
        if not isinstance(record.get("parameters", {}), dict) or not isinstance(record.get("inputs", {}), dict):
            raise TypeError("its parameters or inputs are not a mapping")
    except RecursionError:
        raise StaleError(f"{path} cannot be read (nested too deeply); run: dvc repro {address}") from None
    except FileNotFoundError:
        raise StaleError(f"{path} is missing; run: dvc repro {address}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StaleError(f"{path} cannot be read ({error}); run: dvc repro {address}") from None
    for name, digest in files.items():
        if not (folder / name).is_file() or storage.digest_file(folder / name) != digest:
            raise StaleError(f"{folder / name} does not match its digest in {path}; run: dvc repro -f -s {address}")
    return record


def stands(folder: Path, identity: dict[str, Any], address: str) -> bool:
    """Whether `folder` holds the complete result of exactly this identity."""
    try:
        return verified(folder, address).get("digest") == storage.digest(identity)
    except StaleError:
        return False


def check_parameters(folder: Path, record: dict[str, Any], wanted: dict[str, Any], address: str) -> None:
    """Raise `StaleError` naming the first parameter that differs, both values, and the command."""
    made_with = record.get("parameters", {})
    for key, value in wanted.items():
        if made_with.get(key) != value:
            key, made, value = _first_difference(key, made_with.get(key), value)
            raise StaleError(
                f"{folder} was made with {key} = {made!r:.200}, params.yaml says {value!r:.200}; run: dvc"
                f" repro {address}"
            )


def _first_difference(key: str, made: Any, wanted: Any) -> tuple[str, Any, Any]:
    if isinstance(made, dict) and isinstance(wanted, dict):
        inner = next(name for name in sorted({*made, *wanted}) if made.get(name) != wanted.get(name))
        return _first_difference(f"{key}.{inner}", made.get(inner), wanted.get(inner))
    return key, made, wanted
