"""Images as a user has them, arrays or files, brought to what a checkpoint takes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from PIL import Image, ImageOps

from megan.errors import MeganError

MODES = {1: "L", 3: "RGB"}  # Pillow's name of an image with so many channels of 8 bits
LEVELS = 255


class ImageError(MeganError, ValueError):
    """Images cannot be read, or are not of the checkpoint's kind; the message says what it takes."""


@dataclass(frozen=True)
class Format:
    """What a checkpoint takes: square images. `dark_ink`: files show dark strokes on light paper, to be turned over."""

    side: int
    channels: int
    dark_ink: bool

    def __str__(self) -> str:
        return f"{self.side}x{self.side} with {self.channels} channel{'s' * (self.channels > 1)}"

    @property
    def features(self) -> int:
        return self.side**2 * self.channels


def are_paths(given: Any) -> TypeGuard[Sequence[str | os.PathLike[str]]]:
    """Whether `given` is a sequence, not empty, of names of files, as `str` or `PathLike`."""
    if isinstance(given, (str, bytes, os.PathLike)) or not hasattr(given, "__len__") or not hasattr(given, "__iter__"):
        return False
    if getattr(given, "ndim", 1) != 1 or len(given) == 0:
        return False
    return all(isinstance(one, (str, os.PathLike)) for one in given)


def read(files: Sequence[str | os.PathLike[str]], wanted: Format) -> np.ndarray:
    """Files of any format and size that Pillow reads, squeezed to a square: uint8 [images, side, side, channels].

    Lanczos, as the data sets are resized. What is transparent shows white paper.
    **Raises** `ImageError` naming the first file that is missing or no image of 8 bits a channel.
    """
    return np.stack([_read(Path(file), wanted) for file in files])


def _read(path: Path, wanted: Format) -> np.ndarray:
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):  # Pillow would cut all above 255 off
                raise ImageError(f"{path} has more than 8 bits a channel (mode {image.mode}); save it with 8")
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                paper = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(paper, upright.convert("RGBA"))
            plain = upright.convert(MODES[wanted.channels])
    except FileNotFoundError:
        raise ImageError(f"{path} is not here; give paths that can be opened from {Path.cwd()}") from None
    except ImageError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} is no image that Pillow reads: {error}") from None
    levels = np.asarray(plain.resize((wanted.side, wanted.side), Image.Resampling.LANCZOS))
    levels = levels.reshape(wanted.side, wanted.side, wanted.channels)
    return LEVELS - levels if wanted.dark_ink else levels


def shaped(values: np.ndarray, wanted: Format) -> np.ndarray:
    """Numbers as images: [images, side, side, channels] of uint8, or of the floating type given.

    **Arguments** `values` [images, side, side], [images, side, side, channels] or [images, side * side * channels]:
    whole numbers from 0 to 255, or floating ones from 0 to 1. Ink is the large value; nothing is turned over.
    **Raises** `ImageError` for another shape, or values beyond.
    """
    square = (wanted.side, wanted.side)
    alike = values.shape[1:] in ((*square, wanted.channels), (wanted.features,))
    if not alike and not (wanted.channels == 1 and values.shape[1:] == square):
        raise ImageError(
            f"X has shape {list(values.shape)}: this checkpoint takes images of {wanted}, as"
            f" [images, {wanted.side}, {wanted.side}, {wanted.channels}] or [images, {wanted.features}];"
            " resize them, or give paths of image files, which are resized"
        )
    images = values.reshape(len(values), *square, wanted.channels)
    if images.dtype == np.bool_:
        return images.astype(np.uint8) * LEVELS
    whole = np.issubdtype(images.dtype, np.integer)
    low, high, most = images.min(initial=0), images.max(initial=0), LEVELS if whole else 1
    if low < 0 or high > most:
        raise ImageError(
            f"X holds values from {low:g} to {high:g}: expected whole numbers from 0 to {LEVELS}, or floating ones"
            " from 0 to 1; scale them"
        )
    return images.astype(np.uint8) if whole else images
