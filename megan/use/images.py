"""Converts images of a user, arrays or files of any size, to the format that a checkpoint expects.

`megan.data.image_files` resizes them, as `prepare` resizes those of a data set.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from PIL import Image

from megan.data import channels, image_files
from megan.errors import DataError, MeganError

LEVELS = 255


class ImageError(MeganError, ValueError):
    """Images cannot be read, or do not fit the checkpoint; the message says what is expected."""


@dataclass(frozen=True)
class Format:
    """The square images that a checkpoint expects. `ink`: files show dark ink on light paper, and are inverted."""

    side: int
    channels: int
    ink: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.side, self.side, self.channels

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
    """Files of any kind and size that Pillow reads, as uint8 [images, side, side, channels].

    **Raises** `ImageError` naming the first file that is missing or no image.
    """
    levels = np.stack([_read(Path(file), wanted) for file in files])
    return channels.with_axis(LEVELS - levels if wanted.ink else levels)


def _read(path: Path, wanted: Format) -> np.ndarray:
    if not path.is_file():
        raise ImageError(f"{path} does not exist; give paths of image files that can be opened from {Path.cwd()}")
    try:
        return image_files.decode(image_files.content(path), str(path), wanted.side, wanted.channels)
    except DataError as error:
        raise ImageError(str(error)) from None


def shaped(values: np.ndarray, wanted: Format) -> np.ndarray:
    """Numbers as images: [images, side, side, channels] of uint8, or of the floating type given.

    **Arguments** `values` [images, height, width] (grey), [images, height, width, 1 or 3], or rows of
    [images, side * side * channels]: whole numbers from 0 to 255, or floating ones from 0 to 1. Nothing is
    inverted. Images of another size or number of channels are rounded to 256 levels and resized as files are.
    **Raises** `ImageError` for another shape, or values out of range.
    """
    rows = values.ndim == 2 and values.shape[1] == wanted.features
    pictures = (values.ndim == 3 or (values.ndim == 4 and values.shape[3] in (1, channels.COLOUR))) and values.size
    if not rows and not pictures:
        raise ImageError(
            f"X has shape {list(values.shape)}: expected [images, height, width], [images, height, width, 1 or 3], or"
            f" [images, {wanted.features}], the {wanted.side} x {wanted.side} x {wanted.channels} values that this"
            " checkpoint takes"
        )
    images = values.reshape(len(values), *wanted.shape) if rows else values if values.ndim == 4 else values[..., None]
    images = _checked(images)
    return images if images.shape[1:] == wanted.shape else _resized(images, wanted)


def _checked(images: np.ndarray) -> np.ndarray:
    """Booleans and whole numbers as uint8, floating ones as they are. Raises `ImageError` for values out of range."""
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


def _resized(images: np.ndarray, wanted: Format) -> np.ndarray:
    levels = images if images.dtype == np.uint8 else (images * LEVELS).round().astype(np.uint8)
    pictures = (Image.fromarray(np.ascontiguousarray(channels.without_axis(one))) for one in levels)
    return channels.with_axis(np.stack([image_files.resized(one, wanted.side, wanted.channels) for one in pictures]))
