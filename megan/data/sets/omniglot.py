"""Omniglot: 1623 handwritten characters of 50 alphabets, each drawn by 20 people.

Source: Lake, Salakhutdinov and Tenenbaum (2015), "Human-level concept learning through
probabilistic program induction", Science 350; https://github.com/brendenlake/omniglot, MIT.
"""

import functools
import io
from pathlib import Path

import numpy as np
from PIL import Image

from megan.data import archives, image_files
from megan.data.dataset import Alphabets, Characters, DataSet, Source
from megan.errors import DataError

ADDRESS = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
ARCHIVES = {"background": "images_background.zip", "evaluation": "images_evaluation.zip"}
# `archives.digest` of the images, which is the same for a repacked archive.
DIGESTS = {
    "background": "415200b12482e47c542cb6a4e19c279a65c5c284cd237820c10eb37cf973e256",
    "evaluation": "0fb000cc4c446bfa82460f023c85f57a40cc71185a1630d7ce8781d61604f3bd",
}
SIDE = 105  # pixels of a drawing in the archive
SIZE = 28  # pixels of a prepared one
DRAWERS = 20  # of each character
LIMITS = archives.Limits(archive_bytes=64 << 20, members=60_000, member_bytes=64 << 10, total_bytes=128 << 20)


# Characters of each alphabet of Omniglot, as published: 964 and 659.
COUNTS = {
    "background": {
        "Alphabet_of_the_Magi": 20, "Anglo-Saxon_Futhorc": 29, "Arcadian": 26, "Armenian": 41,
        "Asomtavruli_(Georgian)": 40, "Balinese": 24, "Bengali": 46,
        "Blackfoot_(Canadian_Aboriginal_Syllabics)": 14, "Braille": 26, "Burmese_(Myanmar)": 34,
        "Cyrillic": 33, "Early_Aramaic": 22, "Futurama": 26, "Grantha": 43, "Greek": 24, "Gujarati": 48,
        "Hebrew": 22, "Inuktitut_(Canadian_Aboriginal_Syllabics)": 16, "Japanese_(hiragana)": 52,
        "Japanese_(katakana)": 47, "Korean": 40, "Latin": 26, "Malay_(Jawi_-_Arabic)": 40,
        "Mkhedruli_(Georgian)": 41, "N_Ko": 33, "Ojibwe_(Canadian_Aboriginal_Syllabics)": 14,
        "Sanskrit": 42, "Syriac_(Estrangelo)": 23, "Tagalog": 17, "Tifinagh": 55,
    },
    "evaluation": {
        "Angelic": 20, "Atemayar_Qelisayer": 26, "Atlantean": 26, "Aurek-Besh": 26, "Avesta": 26,
        "Ge_ez": 26, "Glagolitic": 45, "Gurmukhi": 45, "Kannada": 41, "Keble": 26, "Malayalam": 47,
        "Manipuri": 40, "Mongolian": 30, "Old_Church_Slavonic_(Cyrillic)": 45, "Oriya": 46,
        "Sylheti": 28, "Syriac_(Serto)": 23, "Tengwar": 25, "Tibetan": 42, "ULOG": 26,
    },
}  # fmt: skip


def alphabets() -> dict[str, Alphabets]:
    """Names of the characters by part and alphabet, as the archives' folders have them."""
    return {
        part: {name: [f"character{number:02d}" for number in range(1, count + 1)] for name, count in counts.items()}
        for part, counts in COUNTS.items()
    }


def members(path: Path, part: str) -> dict[str, bytes]:
    """PNG files `images_PART/ALPHABET/CHARACTER/DRAWING.png` of an archive, verified.

    Folders, and the files that macOS adds to archives, are ignored.
    **Raises** `DataError` for a damaged archive, a wrong count or a changed image.
    """
    images = archives.read(path, LIMITS, lambda name: name.endswith(".png") and not name.startswith("__MACOSX/"))
    expected = sum(len(names) for names in alphabets()[part].values()) * DRAWERS
    if len(images) != expected:
        raise DataError(
            f"{path} holds {len(images):,} images: expected {expected:,} of Omniglot's {part} set;"
            f" fetch {ARCHIVES[part]} again"
        )
    found = archives.digest(images)
    if found != DIGESTS[part]:
        raise DataError(
            f"{path} holds changed images: content digest {found[:12]}..., expected {DIGESTS[part][:12]}...;"
            f" fetch {ARCHIVES[part]} again"
        )
    return images


def _verify(path: Path, part: str) -> None:
    members(path, part)


SOURCES = tuple(
    Source(f"omniglot/{name}", ADDRESS + name, LIMITS.archive_bytes, functools.partial(_verify, part=part))
    for part, name in ARCHIVES.items()
)


def read(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the raw folder of stage `download`.

    **Returns** the images of each alphabet, uint8 `[characters, 20, 28, 28]` with ink = 255,
    characters and drawings in the order of their names; and the digest of each archive.
    **Raises** `DataError` for anything other than the published Omniglot.
    """
    images: dict[str, np.ndarray] = {}
    for part, name in ARCHIVES.items():
        images |= _part(folder / name, part)
    return images, {ARCHIVES[part]: digest for part, digest in DIGESTS.items()}


def _part(path: Path, part: str) -> dict[str, np.ndarray]:
    drawings: dict[str, list[np.ndarray]] = {}
    for name, content in members(path, part).items():  # sorted by name
        character, _, _ = name.removeprefix(f"images_{part}/").rpartition("/")
        drawings.setdefault(character, []).append(shrink(content, f"{path}: {name}"))
    result = {}
    for alphabet, characters in alphabets()[part].items():
        rows = [drawings.get(f"{alphabet}/{character}", []) for character in characters]
        for character, row in zip(characters, rows, strict=True):
            if len(row) != DRAWERS:
                raise DataError(
                    f"{path}: {alphabet}/{character} has {len(row)} drawings: expected {DRAWERS};"
                    f" fetch {path.name} again"
                )
        result[alphabet] = np.asarray(rows, np.uint8)
    return result


def shrink(content: bytes, where: str) -> np.ndarray:
    """A 105x105 PNG, black on white, as uint8 `[28, 28]`, ink = 255, antialiased.

    **Raises** `DataError` that names `where`.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.size != (SIDE, SIDE):
                raise DataError(f"{where} is {image.size[0]}x{image.size[1]} pixels: expected {SIDE}x{SIDE}")
            return 255 - image_files.resized(image, SIZE, channels=1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{where} is not a valid PNG file: {error}") from None


DATA_SET = DataSet(
    title="Omniglot",
    sources=SOURCES,
    characters=Characters(
        alphabets=lambda data: alphabets(),
        read=lambda folder, data: read(folder),
        images=lambda data: DRAWERS,
        side=SIZE,
        channels=1,
        rotations=True,
    ),
)
