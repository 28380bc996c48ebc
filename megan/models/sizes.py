"""Which images the networks take."""

from megan.config.params import Data
from megan.errors import MeganError


class SizeError(MeganError):
    """The networks do not take a study's images; the message names the keys."""


def check(data: Data) -> None:
    """Raises `SizeError` for images that no network takes yet."""
    if (data.side, data.channels) != (28, 1):
        raise SizeError(
            f"data.side = {data.side}, data.channels = {data.channels}: expected 28 and 1; the networks take no other"
            " images yet, though stage prepare packs them"
        )
