"""Glyphs: characters of a font as simulated handwriting, for a machine without network."""

from pathlib import Path

import numpy as np

from megan.config.schema import Gan
from megan.data.dataset import APART, HELD, Alphabets, ByClass, Characters, DataSet
from megan.data.scripts import DRAWERS, SCRIPTS, SIZE

SCRIPT, LETTERS = "Latin", 10  # the plain GAN's classes: the first characters of a script
POOL = 200  # drawings of a class to take the K from


def manifest() -> dict:
    """The font and the seed of the drawings."""
    from megan.data import glyphs

    return glyphs.manifest()


def alphabets() -> dict[str, Alphabets]:
    """Code points by part and script."""
    parts: dict[str, Alphabets] = {"background": {}, "evaluation": {}}
    for name in sorted(SCRIPTS):
        parts[SCRIPTS[name].part][name] = [f"U+{ord(character):04X}" for character in SCRIPTS[name].characters]
    return parts


def read(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """All drawings. Raises `DataError` when the font is another than the manifest in `folder` names."""
    from megan.data import glyphs

    return glyphs.read(folder)


def by_class(folder: Path, options: Gan) -> ByClass:
    """**Reading:** a class is a character.

    Its twenty drawings are too few for K = 100 and held-out ones, so further drawers draw it. The last
    `HELD` are held out.
    """
    from megan.data import glyphs

    glyphs.verified(folder)
    characters = SCRIPTS[SCRIPT].characters[:LETTERS]
    apart = glyphs.draw(characters, APART)  # a drawing does not depend on how many there are
    drawn = glyphs.draw(characters[: options.classes], APART + max(POOL, *options.images) + HELD)
    names = [f"{SCRIPT} U+{ord(character):04X}" for character in characters[: options.classes]]
    return ByClass(drawn[:, APART:-HELD], drawn[:, -HELD:], apart, names)


DATA_SET = DataSet(
    title="glyphs",
    manifest=lambda data: manifest(),
    characters=Characters(
        alphabets=lambda data: alphabets(),
        read=lambda folder, data: read(folder),
        images=lambda data: DRAWERS,
        side=SIZE,
        channels=1,
    ),
    by_class=by_class,
)
