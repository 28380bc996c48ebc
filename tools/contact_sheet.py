"""Draws a picture that compares the glyphs with Omniglot: some characters of every script.

    python -m tools.contact_sheet [--study omniglot] [--output docs/contact_sheet.png]

The half of Omniglot is drawn if a study of it is prepared.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from megan.config import paths
from megan.data import catalogue, glyphs, packed
from megan.data.scripts import SCRIPTS
from megan.errors import DataError
from megan.runs import storage

DRAWN = 7  # drawers shown of each character
CELL = 2 * glyphs.SIZE  # pixels of the sheet
LABEL = 170
Rows = list[tuple[str, list[np.ndarray]]]  # a script's name, and some characters uint8 [20, 28, 28]


def glyph_rows() -> Rows:
    """Two characters of each script."""
    rows = []
    for name, script in SCRIPTS.items():
        characters = script.characters
        rows.append((name, list(glyphs.draw([characters[len(characters) // 3], characters[2 * len(characters) // 3]]))))
    return rows


def prepared_rows(study: str, count: int) -> Rows:
    """Two characters of each of `count` alphabets of a prepared study. Raises `DataError` if it is not prepared."""
    rows = []
    for name in catalogue.SPLITS:
        split = packed.load(paths.split(study, name))
        for alphabet, first, size in zip(split.alphabet_names, split.first.tolist(), split.size.tolist(), strict=True):
            rows.append((alphabet, [split.images[first + size * third // 3, ..., 0].numpy() for third in (1, 2)]))
    return [rows[index * len(rows) // count] for index in range(min(count, len(rows)))]


def panel(title: str, rows: Rows) -> Image.Image:
    """The picture of one data set: one line for each script, black on white."""
    height = CELL + 4
    sheet = Image.new("L", (LABEL + 2 * (DRAWN * CELL + 16), (len(rows) + 1) * height), 255)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(str(glyphs.font_path()), 13)
    pen.text((4, height // 3), title, fill=0, font=ImageFont.truetype(str(glyphs.font_path()), 18))
    for line, (name, characters) in enumerate(rows, 1):
        pen.text((4, line * height + height // 3), name.partition("_(")[0].replace("_", " ")[:22], fill=0, font=font)
        for place, character in enumerate(characters):
            strip = Image.fromarray(255 - np.concatenate(list(character[:DRAWN]), axis=1))
            sheet.paste(
                strip.resize((DRAWN * CELL, CELL), Image.Resampling.NEAREST),
                (LABEL + place * (DRAWN * CELL + 16), line * height),
            )
    return sheet


def draw(path: Path, study: str) -> None:
    """Write the sheet as PNG."""
    panels = [panel("Glyphs (embedded)", glyph_rows())]
    try:
        panels.append(panel("Omniglot (handwritten)", prepared_rows(study, len(SCRIPTS))))
    except DataError as error:
        print(f"without Omniglot: {error}", file=sys.stderr)
    sheet = Image.new("L", (sum(one.width for one in panels), panels[0].height), 255)
    left = 0
    for one in panels:
        sheet.paste(one, (left, 0))
        left += one.width
    with storage.replacing(path) as temporary:
        # Sixteen grey levels are enough, and halve the file.
        sheet.quantize(16).save(temporary, format="PNG", optimize=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw some characters of the glyphs and of Omniglot.")
    parser.add_argument("--study", default="omniglot", help="a prepared study of Omniglot")
    parser.add_argument("--output", type=Path, default=Path("docs/contact_sheet.png"))
    options = parser.parse_args()
    try:
        draw(options.output, options.study)
    except DataError as error:
        print(f"contact_sheet: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
