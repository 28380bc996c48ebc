"""The list of a record's files with their digests, `MANIFEST.json`, and the room that a record may take."""

import json
from pathlib import Path
from typing import Any

from megan.errors import MeganError
from megan.runs import storage

NAME = "MANIFEST.json"
MIB = 2**20
MOST_MIB = 15  # of a record: it is in git, and everybody who clones the project gets it


class RecordError(MeganError):
    """A record cannot be made, or was altered. The message says what to do."""


def verify(folder: Path) -> dict[str, Any]:
    """The manifest of a record, after checking the digest of every file.

    **Raises** `RecordError` naming the first file that is missing, altered or not listed.
    """
    try:
        manifest = json.loads((folder / NAME).read_text(encoding="utf-8"))
        listed = dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{folder / NAME} cannot be read ({error}); run: python -m megan record") from None
    found = digests(folder)
    for name in sorted(listed.keys() | found.keys()):
        if listed.get(name) != found.get(name):
            state = "missing" if name not in found else "not listed" if name not in listed else "altered"
            raise RecordError(
                f"{folder / name} is {state} according to {NAME}; restore the record from git, or run: python -m"
                " megan record"
            )
    return manifest


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a record, without its manifest."""
    found = [path for path in folder.rglob("*") if path.is_file() and path != folder / NAME]
    return {path.relative_to(folder).as_posix(): storage.digest_file(path) for path in sorted(found)}


def size(folder: Path) -> int:
    """Bytes of all files below a folder, or of a file."""
    return sum(path.stat().st_size for path in (folder, *folder.rglob("*")) if path.is_file())


def told(folder: Path) -> str:
    """The size of a record in words, what it was made without, and how its weights are kept."""
    manifest = json.loads((folder / NAME).read_text(encoding="utf-8"))
    words = f"{size(folder) / MIB:.1f} MiB"
    for name, about in manifest["weights"].items():
        words += f"; weights of {name} as {about['dtype']} ({about['changed']} of {about['predictions']:,} predictions"
        words += " change with float16)"
    if manifest.get("kept"):
        words += f"; kept from the record before, as run elsewhere: {', '.join(manifest['kept'])}"
    return words + (f"; provisional, without {', '.join(manifest['not_run'])}" if manifest["provisional"] else "")


def check_room(folder: Path, study: str) -> None:
    """Raise `RecordError` if the record of the study in `folder` is too large for git."""
    if (own := size(folder) / MIB) > MOST_MIB:
        parts = {path.name: size(path) / MIB for path in folder.iterdir()}
        largest = ", ".join(f"{name} {parts[name]:.1f}" for name in sorted(parts, key=parts.__getitem__)[:-4:-1])
        raise RecordError(
            f"the record of study {study} would have {own:.1f} MiB (most in {largest}), more than {MOST_MIB}; leave out"
            " --weights, or divide the study's variants between two studies"
        )
