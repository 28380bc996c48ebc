"""Reads zip archives of unknown origin into memory, never to the disk.

No member is written under its own name, so a path inside an archive can do no harm. Unsafe
names are still refused, because the published archives have none.
"""

import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from megan.errors import DataError


@dataclass(frozen=True)
class Limits:
    """Limits of an archive. Declared sizes are checked before anything is unpacked."""

    archive_bytes: int
    members: int
    member_bytes: int  # one member, unpacked
    total_bytes: int  # all members together, unpacked
    ratio: float = 200.0  # unpacked over packed bytes of one member


def read(path: Path, limits: Limits, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, bytes]:
    """Contents of the wanted members, sorted by name; checked and refused as by `stream`."""
    return dict(stream(path, limits, wanted))


def stream(path: Path, limits: Limits, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the wanted members, one at a time, sorted by name.

    All members are checked, wanted or not: names (relative, no `..`, no backslash, no
    control character, none twice), kinds (plain files and folders), encryption, counts and
    sizes. `zipfile` verifies the checksum of each member that is read.

    **Raises** `DataError` for anything but a valid archive within `limits`.
    """
    try:
        size = path.stat().st_size
        if size > limits.archive_bytes:
            raise DataError(
                f"{path} has {size:,} bytes: expected at most {limits.archive_bytes:,}; this is a different file"
            )
        with zipfile.ZipFile(path) as archive:
            members = _checked(path, archive.infolist(), limits)
            for member in members:
                if wanted(member.filename):
                    yield member.filename, _content(archive, member)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        struct.error,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
    ) as error:
        raise DataError(
            f"{path} is not a valid zip archive: {_beginning(path) or f'{error!s:.160}'}; delete it and fetch it again"
        ) from None


def digest(members: dict[str, bytes]) -> str:
    """SHA-256 over sorted member names and contents.

    It does not depend on compression, so a repacked archive of the same files has the same digest.
    Lengths are hashed too, so that different sets of members cannot give the same bytes.
    """
    state = hashlib.sha256()
    for name in sorted(members):
        encoded = name.encode()
        state.update(struct.pack("<QQ", len(encoded), len(members[name])))
        state.update(encoded)
        state.update(members[name])
    return state.hexdigest()


def is_safe(name: str) -> bool:
    """Whether a member's name is a plain relative path."""
    parts = name.removesuffix("/").split("/")
    plain = "\\" not in name and ":" not in parts[0] and name.isprintable()
    return plain and not any(part in ("", ".", "..") for part in parts)


def _checked(path: Path, members: list[zipfile.ZipInfo], limits: Limits) -> list[zipfile.ZipInfo]:
    if len(members) > limits.members:
        raise DataError(f"{path} has {len(members):,} members: expected at most {limits.members:,}")
    seen: set[str] = set()
    total = 0
    for member in members:
        name, where = member.filename, f"{path}: member {member.filename[:80]!r}"
        # zipfile cuts a name at NUL, so the name as stored is checked as well.
        if not is_safe(name) or not member.orig_filename.isprintable():
            raise DataError(f"{where} has an unsafe name: expected a plain relative path")
        if name in seen:
            raise DataError(f"{where} appears twice: expected each name once")
        seen.add(name)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{where} is a link or a device: expected ordinary files")
        if member.flag_bits & 0x1:
            raise DataError(f"{where} is encrypted: expected no encryption")
        if member.file_size > limits.member_bytes or member.file_size > limits.ratio * max(member.compress_size, 1):
            raise DataError(
                f"{where} unpacks from {member.compress_size:,} to {member.file_size:,} bytes:"
                f" expected at most {limits.member_bytes:,} bytes and {limits.ratio:g} times its packed size"
            )
        total += member.file_size
        if total > limits.total_bytes:
            raise DataError(f"{path} unpacks to more than the expected {limits.total_bytes:,} bytes")
    return sorted((member for member in members if not member.is_dir()), key=lambda member: member.filename)


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    # zipfile stops at the declared size, which `_checked` has bounded.
    with archive.open(member) as file:
        content = file.read()
    if len(content) != member.file_size:
        raise zipfile.BadZipFile(f"member {member.filename!r} ends after {len(content)} of {member.file_size} bytes")
    return content


def _beginning(path: Path) -> str:
    """What the file is, if its first bytes say more than the message of zipfile; else an empty string."""
    try:
        with open(path, "rb") as file:
            start = file.read(256).lstrip()
    except OSError:
        return ""
    if not start:
        return "it is empty"
    if start[:1] == b"<":
        return "it is a web page, for example of a proxy, a login or an error"
    if not start.startswith(b"PK"):
        return f"it begins with {start[:12]!r}"
    return ""
