"""Images that stand, nearly the same, in two splits: a test on one of them is no test on something unseen.

They are found by thumbnails of 8x8 pixels, and confirmed at full size.
"""

import itertools

import numpy as np

from megan.data.dataset import Alphabets

THUMBNAIL = 8  # pixels
NEAR = 4.0  # root mean square difference of thumbnails, of 255
SAME = 8.0  # the same at full size: what re-saving as JPEG changes, and less than two photographs of one thing differ
ROWS = 2048  # thumbnails compared at a time

Images = dict[str, np.ndarray]  # by alphabet, uint8 [characters, images, side, side] or [..., channels]


def across(splits: dict[str, Images], names: dict[str, Alphabets]) -> list[dict[str, str]]:
    """The pairs of nearly identical images of two splits: `one` and `other`, as SPLIT/CHARACTER/NUMBER."""
    thumbnails = {
        name: np.concatenate([_thumbnails(block) for block in blocks.values()]) for name, blocks in splits.items()
    }
    pairs = []
    for first, second in itertools.combinations(splits, 2):
        for one, other in _near(thumbnails[first], thumbnails[second]):
            if _difference(_image(splits[first], one), _image(splits[second], other)) <= SAME:
                pairs.append(
                    {"one": f"{first}/{_name(splits[first], names[first], one)}",
                     "other": f"{second}/{_name(splits[second], names[second], other)}"}
                )  # fmt: skip
    return pairs


def _thumbnails(block: np.ndarray) -> np.ndarray:
    """[characters, images, side, side, ...] -> float32 [characters * images, features], mean levels of an 8x8 grid."""
    side = block.shape[2]
    edges = np.arange(THUMBNAIL) * side // THUMBNAIL
    sizes = np.diff([*edges, side]).astype(np.float32)
    parts = []
    for character in block:
        images = character.reshape(len(character), side, side, -1)
        sums = np.add.reduceat(np.add.reduceat(images, edges, axis=1, dtype=np.float32), edges, axis=2)
        parts.append((sums / (sizes[:, None] * sizes)[None, :, :, None]).reshape(len(images), -1))
    return np.concatenate(parts)


def _near(first: np.ndarray, second: np.ndarray) -> list[tuple[int, int]]:
    """Rows of `first` and of `second` that are nearly the same."""
    bound = NEAR**2 * first.shape[1]
    lengths = np.square(second).sum(axis=1)
    found = []
    for start in range(0, len(first), ROWS):
        some = first[start : start + ROWS]
        apart = np.square(some).sum(axis=1)[:, None] + lengths - 2 * some @ second.T
        found += [(start + int(one), int(other)) for one, other in np.argwhere(apart <= bound)]
    return found


def _place(images: Images, row: int) -> tuple[str, int, int]:
    """Alphabet, character and number of an image."""
    for name, block in images.items():
        count = len(block) * block.shape[1]
        if row < count:
            return name, *divmod(row, block.shape[1])
        row -= count
    raise IndexError(row)


def _image(images: Images, row: int) -> np.ndarray:
    name, character, number = _place(images, row)
    return images[name][character, number]


def _name(images: Images, names: Alphabets, row: int) -> str:
    name, character, number = _place(images, row)
    return f"{names[name][character]}/{number}"


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.square(one.astype(np.float32) - other).mean()))
