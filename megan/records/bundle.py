"""Files on their way between two machines: zip archives below a size, a digest for every file.

Files travel in groups, one a finished stage say, and arrive whole or not at all. A file larger
than an archive is cut into parts. Each archive holds an `index.json` of its own, so any number of
them, from any number of runs, can be read together.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from megan import storage
from megan.data import archives
from megan.errors import MeganError

FORMAT = 1
INDEX = "index.json"
MIB = 2**20
PART = 16  # a part takes at most this fraction of an archive
LIMITS = archives.Limits(archive_bytes=4096 * MIB, members=10**6, member_bytes=1024 * MIB, total_bytes=8192 * MIB, ratio=1100.0)

Groups = Mapping[str, Mapping[str, Path]]  # name of a group -> name of a file -> where it lies


class BundleError(MeganError):
    """An archive is damaged, incomplete or not ours; the message names it and what to do."""


@dataclass
class Bundle:
    """What several archives hold together, every digest verified."""

    groups: dict[str, dict[str, bytes]] = field(default_factory=dict)
    notes: list[dict[str, Any]] = field(default_factory=list)  # of each archive, in the order of their names


def pack(folder: Path, prefix: str, groups: Groups, note: dict[str, Any], limit: int, most: int | None = None) -> tuple[list[Path], list[str]]:
    """Write `prefix-01.zip`, ... into `folder`, each of at most `limit` bytes.

    **Arguments** `groups` in the order in which they matter; `most`: no more archives than that.
    **Returns** the archives, and the names of the groups that found room.
    **Raises** `BundleError` for a group that `most` archives can never hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Writer(folder, prefix, note, limit)
    for name, files in groups.items():
        contents = {file: path.read_bytes() for file, path in sorted(files.items())}
        size = sum(map(len, contents.values()))
        if most is not None and writer.archives_with(size, len(contents)) > most:
            if not writer.done:
                raise BundleError(f"{name} has {size / MIB:.1f} MiB: more than {most} archives of {limit / MIB:g} MiB hold; raise the limits")
            break
        writer.add(name, contents)
    writer.close()
    return writer.archives, writer.done


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()


class _Writer:
    """Fills one archive after another."""

    def __init__(self, folder: Path, prefix: str, note: dict[str, Any], limit: int) -> None:
        self.folder, self.prefix, self.note, self.limit = folder, prefix, note, limit
        self.part = max(limit // PART, 1)
        self.archives: list[Path] = []
        self.done: list[str] = []
        self._begin()

    def _begin(self) -> None:
        self.buffer = io.BytesIO()
        self.zip = zipfile.ZipFile(self.buffer, "w", zipfile.ZIP_DEFLATED)
        self.groups: dict[str, dict[str, Any]] = {}
        self.parts: dict[str, dict[str, Any]] = {}

    def _index(self) -> bytes:
        return _json({"format": FORMAT, "note": self.note, "groups": self.groups, "parts": self.parts})

    def archives_with(self, size: int, files: int) -> int:
        """How many archives there are at most when `size` more bytes are in."""
        usable = self.limit - self.part - len(self._index()) - 600 * files
        if usable <= 0:
            raise BundleError(f"archives of {self.limit / MIB:g} MiB are too small for their own index; raise the limit")
        return len(self.archives) + -(-(self.buffer.tell() + size) // usable)

    def add(self, group: str, contents: dict[str, bytes]) -> None:
        listed = {file: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} for file, content in contents.items()}
        for file, content in contents.items():
            for offset in range(0, max(len(content), 1), self.part):
                self._add_part(group, listed, file, offset, content[offset : offset + self.part])
        self.done.append(group)

    def _add_part(self, group: str, listed: dict[str, Any], file: str, offset: int, content: bytes) -> None:
        index = len(self._index()) + len(_json(listed)) + 1000
        directory = 300 * (len(self.parts) + 2)
        if self.parts and self.buffer.tell() + len(content) + index + directory > self.limit:
            self.close()
            self._begin()
        member = f"part-{len(self.parts):05}"
        self.zip.writestr(member, content)
        self.groups[group] = listed
        self.parts[member] = {"group": group, "file": file, "offset": offset, "sha256": hashlib.sha256(content).hexdigest()}

    def close(self) -> None:
        """Finish the archive that is being filled, if anything is in it."""
        if not self.parts:
            return
        self.zip.writestr(INDEX, self._index())
        self.zip.close()
        path = self.folder / f"{self.prefix}-{len(self.archives) + 1:02}.zip"
        if self.buffer.tell() > self.limit:
            raise BundleError(f"{path} would have {self.buffer.tell():,} bytes of at most {self.limit:,}; raise the limit")
        with storage.replacing(path) as temporary:
            temporary.write_bytes(self.buffer.getvalue())
        self.archives.append(path)
        self._begin()


def read(paths: list[Path]) -> Bundle:
    """Everything that the archives hold, put together in memory.

    **Arguments** archives, or folders of them.
    **Raises** `BundleError` or `DataError`, one line, for an archive that is unsound, a digest
    that differs, a name that is no plain relative path, and a file of which a part is missing.
    """
    bundle, listed, parts = Bundle(), {}, {}
    for path in _archives(paths):
        members = archives.read(path, LIMITS)
        index = _index(path, members)
        bundle.notes.append(index["note"])
        for group, files in index["groups"].items():
            if listed.setdefault(group, files) != files:
                raise BundleError(f"{path}: {group} is another one than in the archives before it; import them one after the other")
        for member, told in index["parts"].items():
            if hashlib.sha256(members[member]).hexdigest() != told["sha256"]:
                raise BundleError(f"{path}: {member} of {told['file']} is not what the index describes; bring the archive again")
            parts.setdefault((told["group"], told["file"]), {})[told["offset"]] = members[member]
    for group, files in listed.items():
        bundle.groups[group] = {file: _joined(group, file, told, parts.get((group, file), {})) for file, told in files.items()}
    return bundle


def _archives(paths: list[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        here = sorted(path.glob("*.zip")) if path.is_dir() else [path]
        if not here:
            raise BundleError(f"{path} holds no archive: expected files ending in .zip")
        found += here
    return found


def _index(path: Path, members: dict[str, bytes]) -> dict[str, Any]:
    """The archive's index, its form checked: later code may rely on every key used here."""
    try:
        index = json.loads(members[INDEX])
        if index["format"] != FORMAT:
            raise ValueError(f"its format is {index['format']!r}: expected {FORMAT}")
        note = index["note"]
        if not isinstance(note.get("sources", {}), dict) or not isinstance(note.get("pieces", []), list):
            raise ValueError("its note is none of ours")
        if set(index["parts"]) | {INDEX} != set(members):
            raise ValueError("its index names other members than it has")
        for files in index["groups"].values():
            for file, told in files.items():
                _check_name(file)
                if not isinstance(told["size"], int) or not isinstance(told["sha256"], str):
                    raise ValueError(f"no size or digest of {file!r}")
        for told in index["parts"].values():
            if not isinstance(told["offset"], int) or told["file"] not in index["groups"][told["group"]] or not isinstance(told["sha256"], str):
                raise ValueError("its index contradicts itself")
    except RecursionError:
        raise BundleError(f"{path} is no archive of ours (its index is nested too deeply)") from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BundleError(f"{path} is no archive of ours ({' '.join(str(error).split())})") from None
    return index


def _check_name(name: str) -> None:
    if "\\" in name or ":" in name or not name.isprintable() or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"unsafe name {name[:80]!r}: expected a plain relative path")


def _joined(group: str, file: str, told: dict[str, Any], parts: dict[int, bytes]) -> bytes:
    content = b""
    for offset in sorted(parts):
        if offset != len(content):
            break
        content += parts[offset]
    if len(content) != told["size"]:
        raise BundleError(f"{group}: {file} has {len(content):,} of {told['size']:,} bytes; bring all archives of that pack")
    if hashlib.sha256(content).hexdigest() != told["sha256"]:
        raise BundleError(f"{group}: {file} is not what its index describes; bring the archives again")
    return content
