"""Reading tar archives of unknown origin, packed by gzip, bzip2, xz or not at all: a member at a time, into memory.

The same care as in `archives`, which reads zip files: nothing is written onto the disk.
"""

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from megan.data.archives import Limits, is_safe
from megan.errors import DataError

KINDS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


def stream(path: Path, limits: Limits, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the wanted members, in the archive's order.

    **Raises** `DataError`, one line, for anything but a sound archive within `limits`.
    """
    size, count, total = path.stat().st_size, 0, 0
    if size > limits.archive_bytes:
        raise DataError(
            f"{path} has {size:,} bytes: expected at most {limits.archive_bytes:,}; this is some other file"
        )
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                where = f"{path}: member {member.name[:80]!r}"
                count += 1
                total += member.size
                if count > limits.members:
                    raise DataError(f"{path} has more than {limits.members:,} members")
                if not is_safe(member.name.removeprefix("./") or "."):
                    raise DataError(f"{where} has an unsafe name: expected a plain relative path")
                if not (member.isfile() or member.isdir()):
                    raise DataError(f"{where} is a link or a device: expected plain files")
                if member.size > limits.member_bytes or total > limits.total_bytes:
                    raise DataError(
                        f"{where} has {member.size:,} bytes: expected at most {limits.member_bytes:,}, and"
                        f" {limits.total_bytes:,} of all members together"
                    )
                if member.isfile() and wanted(member.name):
                    file = archive.extractfile(member)
                    assert file is not None, "a plain file has content"
                    yield member.name, file.read()
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error, lzma.LZMAError) as error:
        told = f"{' '.join(str(error).split())!s:.160}"
        raise DataError(f"{path} is no sound tar archive: {told}; delete it and fetch it again") from None
