"""Images as people hold them: files of a folder, or of the zip and tar archives in it; decoded to one size.

Nothing here is unpickled. A pickle can run any code that its writer put there.
"""

import functools
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from megan.data import archives, tar_archives
from megan.errors import DataError

PICKLES = (".pkl", ".pickle", ".p", ".pt", ".pth")
LIMITS = archives.Limits(
    archive_bytes=64 << 30, members=2_000_000, member_bytes=64 << 20, total_bytes=256 << 30, ratio=1000.0
)


@functools.cache
def formats() -> tuple[str, ...]:
    """All that Pillow reads, but EPS: to draw it Pillow starts Ghostscript."""
    Image.init()
    return tuple(name for name in Image.OPEN if name != "EPS")


@functools.cache
def suffixes() -> frozenset[str]:
    """How names of images end, in small letters."""
    Image.init()
    return frozenset(suffix for suffix, name in Image.EXTENSION.items() if name in formats())


def is_hidden(path: Path) -> bool:
    """What file managers leave behind: no image of anybody's."""
    return path.name.startswith((".", "__MACOSX")) or path.name in ("Thumbs.db", "desktop.ini")


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith((".zip", *tar_archives.KINDS))


def below(folder: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the wanted files at any depth below a folder, then of those in its archives.

    `wanted` is asked with the last part of a name.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not is_hidden(path))
    for path in files:
        if not is_archive(path) and wanted(path.name):
            yield path.name, content(path)
    for path in files:
        if is_archive(path):
            stream = archives.stream if path.name.lower().endswith(".zip") else tar_archives.stream
            for name, found in stream(path, LIMITS, lambda name: wanted(name.rpartition("/")[2])):
                yield name.rpartition("/")[2], found


def content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LIMITS.member_bytes:
            raise DataError(f"{path} has {size:,} bytes: expected an image of at most {LIMITS.member_bytes:,}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def decode(content: bytes, where: str, side: int, channels: int) -> np.ndarray:
    """An image file as uint8 `[side, side]`, or `[side, side, 3]` with 3 `channels`: see `resized`.

    **Raises** `DataError` that names `where`.
    """
    if not content:
        raise DataError(f"{where} is empty: expected an image")
    try:
        with Image.open(io.BytesIO(content), formats=formats()) as image:
            return resized(image, side, channels)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{where} is no image that Pillow reads: {' '.join(str(error).split())!s:.160}") from None


def resized(image: Image.Image, side: int, channels: int) -> np.ndarray:
    """An image as uint8 `[side, side]`, or `[side, side, 3]` with 3 `channels`.

    Turned upright as its camera says, what is transparent on white, 16 bits reduced to 8. An image that is not
    square is squeezed: cutting could lose what matters. Lanczos is the filter of Finn et al. (2017).

    **Raises** `ValueError` for levels of no known range, and what Pillow raises for a damaged image.
    """
    # In grey or colour before it is resized: with a palette or two colours Pillow would use the nearest pixel.
    shown = _in_mode(ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB")
    if shown.size != (side, side):
        shown = shown.resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(shown)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        levels = np.asarray(image)
        if levels.size and (levels.min() < 0 or levels.max() > 65535):
            raise ValueError("its levels need more than 16 bits; save it with 8")
        image = Image.fromarray((levels >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("its levels are floating point, of no known range; save it with 8 bits")
    elif image.has_transparency_data:
        shown = image.convert("RGBA")
        paper = Image.new("RGBA", shown.size, "white")
        image = Image.alpha_composite(paper, shown)
    return image.convert(mode)
