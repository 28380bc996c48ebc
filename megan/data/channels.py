"""Where images have their channels. Files keep grey images without an axis of channels, all else has one."""

from typing import Any

COLOUR = 3  # channels; no image has so small a side


def with_axis(images: Any) -> Any:
    """Images of a file, tensor or array [..., side, side] or [..., side, side, channels], as the latter."""
    return images if images.shape[-1] == COLOUR else images[..., None]


def without_axis(images: Any) -> Any:
    """[..., side, side, channels] as a file keeps them: grey ones without the last axis."""
    return images[..., 0] if images.shape[-1] == 1 else images
