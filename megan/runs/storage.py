"""Writes results so that a reader never sees an incomplete file.

Each writer makes a temporary file in the same folder, flushes it to the disk and renames it to
the target. After a kill at any moment the target is the old file, the new file, or (only for a
folder) missing. The next writer puts a missing folder back and removes the temporary files of a killed one.
"""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from megan.errors import MeganError

GO_ON = "{} and run the same command: it continues from what is finished"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
IN_THE_WAY = {errno.ENOTDIR, errno.EEXIST}  # a file


class StorageError(MeganError):
    """A result cannot be written. The message says where, why, and how much space it needs."""


@contextmanager
def replacing(path: Path, needed: int = 0) -> Iterator[Path]:
    """Yield a temporary path. It is renamed to `path` if the block ends without an error.

    **Arguments** `needed`: the bytes that the block will write, if known.
    **Raises** `StorageError` if the disk is full or not writable.
    """
    with explained(path, needed), _neighbour(path) as temporary:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder. It is renamed to `path` if the block ends without an error.

    **Raises** `StorageError` as `replacing` does.
    """
    restore(path)
    with explained(path), _neighbour(path) as temporary, _neighbour(path, "old") as old:
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        _flush(temporary)
        # A folder cannot be renamed over another, and a reader must not see a half-removed one.
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
        _flush(path.parent)


def restore(path: Path) -> None:
    """Put a folder back whose writer was killed between the two renames of `replacing_folder`, if it is missing."""
    with explained(path):
        for left in path.parent.glob(f".{path.name}.{_host()}.*.old.tmp"):
            if not path.exists() and not _lives(int(left.name.split(".")[-3])):
                os.replace(left, path)


@contextmanager
def _neighbour(path: Path, kind: str = "new") -> Iterator[Path]:
    """A temporary path next to `path`, removed after the block. First removes those of writers that have died."""
    path.parent.mkdir(parents=True, exist_ok=True)
    host = _host()
    for left in path.parent.glob(f".{path.name}.{host}.*.tmp"):
        pid = left.name.split(".")[-3]
        if pid == str(os.getpid()) and left.name.endswith(f".{kind}.tmp") or pid.isdecimal() and not _lives(int(pid)):
            _remove(left)
    temporary = path.with_name(f".{path.name}.{host}.{os.getpid()}.{kind}.tmp")
    try:
        yield temporary
    finally:
        _remove(temporary)


def _host() -> str:
    """In the names of temporary files: machines may share a folder, and process numbers are valid on one only."""
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def _flush(path: Path) -> None:
    """Write the file, or the names in the folder, to the disk before continuing."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explained(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn a full disk, a refused write of `path` and a file in its way into `StorageError`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = error.errno if isinstance(error, OSError) else _errno_in(str(error))
        if number in FULL:
            raise StorageError(
                f"{path} cannot be written: {os.strerror(number)}; {_room(path, number, needed)}"
            ) from None
        if number in REFUSED:
            where = getattr(error, "filename", None) or path
            raise StorageError(
                f"{path} cannot be written: {os.strerror(number)} ({where}); make it writable and run the"
                " same command again"
            ) from None
        if number in IN_THE_WAY:
            where = getattr(error, "filename", None) or path
            raise StorageError(
                f"{path} cannot be written: {os.strerror(number)} ({where}), where a folder was expected;"
                " move it away and run the same command again"
            ) from None
        raise


def _errno_in(told: str) -> int:
    """The operating system's number in a message of safetensors, whose exceptions have no `errno`."""
    found = re.search(r"os error (\d+)", told)
    return int(found[1]) if found else 0


def _room(path: Path, number: int, needed: int) -> str:
    free = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free
    if number == errno.ENOSPC:
        wanted = f"it needs {needed:,}" if needed else f"it needs more than {free:,}"
        return f"{wanted} additional bytes, and that disk has {free:,} free; {GO_ON.format('free some')}"
    wanted = f"it needs {needed:,} bytes, more" if needed else "it needs more"
    return f"{wanted} than the quota or file size limit (ulimit -f) of this user allows; {GO_ON.format('raise it')}"


def write_text(path: Path, text: str) -> None:
    content = text.encode("utf-8")
    with replacing(path, len(content)) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write sorted and indented JSON, so that equal content gives equal bytes. Refuses NaN."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def digest(content: Any) -> str:
    """SHA-256 of plain data, independent of the order of keys."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
