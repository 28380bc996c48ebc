"""Glyphs: synthetic handwriting with the structure of Omniglot, for machines without network.

The characters of seventeen scripts come from DejaVu Sans, the font that matplotlib ships.
Each is thinned to its strokes. Then each of twenty simulated drawers bends the strokes and draws
them with a round pen, as in Omniglot. The variation of size, position, slant and proportions
and the width of the pen follow Omniglot. The strength of the bending is set so that a
nearest-neighbour classifier has the same error rate as on Omniglot: see docs/data.md.
"""

import json
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from megan.data import dataset
from megan.data.scripts import DRAWERS, SCRIPTS, SIZE, expand
from megan.errors import DataError
from megan.runs import storage

FONT = "DejaVuSans.ttf"  # by name, because matplotlib also ships a fallback font with every code point
SEED = 20  # of the drawers; part of the data set, so not a parameter
FINE = 3  # factor of the finer grid for antialiasing
EXTENT = 80  # pixels of a character's longer side when it is thinned
MARGIN = 2
UNIT = 20 / EXTENT  # pixels of a drawing per pixel of a thinned character, to compare near-duplicates
NEAR = 2.0  # pixels of a drawing

# Standard deviations, except where noted; lengths in pixels of a drawing.
LENGTH = 15.7  # the longer side before the drawer's variation
CENTRE = (13.3, 13.6)  # Omniglot's mean centre
SHIFT = 1.35
ROTATION = 0.08  # rad
SLANT = 0.1
LOG_SIZE = 0.11
LOG_ASPECT = 0.12
PEN = 0.72  # radius
LOG_PEN = 0.08
BEND = 1.1
KNOTS = 5  # of the bending's cubic B-spline, each way

_CORNERS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def font_path() -> Path:
    """The font file. Raises `DataError` if matplotlib is installed without its fonts."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / FONT
    if not path.is_file():
        raise DataError(
            f"{path} does not exist: expected the font that matplotlib ships; install matplotlib from its wheel"
        )
    return path


def manifest() -> dict:
    """Font and seed of the data set. Stage `download` records them, `read` compares them."""
    return {"dataset": "glyphs", "fonts": {FONT: storage.digest_file(font_path())}, "seed": SEED}


def read(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Draw all characters.

    **Returns** the images of each script, uint8 `[characters, 20, 28, 28]` with ink = 255,
    characters in the order of their code points; and the digest of each font file.
    **Raises** `DataError` if the font does not match the manifest in `folder`.
    """
    fonts = verified(folder)
    return {name: draw(script.characters) for name, script in SCRIPTS.items()}, fonts


def verified(folder: Path) -> dict[str, str]:
    """The digest of each font file, as in `read`. Raises `DataError` as `read` does."""
    path = dataset.manifest_path(folder, "glyphs")
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); run `python -m megan download`") from None
    current = manifest()
    if recorded != current:
        raise DataError(
            f"{path} names another font or seed than the installed {font_path()}; run `python -m megan download`"
        )
    return current["fonts"]


def draw(characters: list[str], drawers: int = DRAWERS) -> np.ndarray:
    """The drawings of the first `drawers` drawers, uint8 `[characters, drawers, 28, 28]`, ink = 255.

    The data set has twenty drawers. Further drawers have the same distribution.
    """
    strokes = thin(outlines(characters))
    return np.stack(
        [
            _drawings(_points(stroke), ord(character), drawers)
            for stroke, character in zip(strokes, characters, strict=True)
        ]
    )


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # The basic layout, because not every platform supports joining and ligatures.
    return ImageFont.truetype(str(font_path()), size, layout_engine=ImageFont.Layout.BASIC)


def outlines(characters: list[str]) -> np.ndarray:
    """The font's shapes, bool `[characters, 84, 84]`, the longer side 80 pixels long, in the middle."""
    side = EXTENT + 2 * MARGIN
    result = np.zeros((len(characters), side, side), bool)
    for row, character in zip(result, characters, strict=True):
        left, top, right, bottom = _font(200).getbbox(character)
        font = _font(min(200, 200 * EXTENT // max(right - left, bottom - top)))  # so that a dot does not become a disc
        left, top, right, bottom = font.getbbox(character)
        image = Image.new("L", (side, side))
        ImageDraw.Draw(image).text(
            ((side - right - left) // 2, (side - bottom - top) // 2), character, fill=255, font=font
        )
        row[:] = np.asarray(image) >= 128
    return result


def thin(shapes: np.ndarray) -> np.ndarray:
    """Thin bool images `[images, height, width]` with an empty border to strokes one pixel wide.

    Zhang and Suen (1984), "A fast parallel algorithm for thinning digital patterns". It
    erases squares of two by two pixels, for example dots. Here each connected part that
    vanishes leaves one pixel in its centre.
    """
    strokes = shapes.copy()
    inner = strokes[:, 1:-1, 1:-1]
    height, width = strokes.shape[1:]
    neighbours = [strokes[:, 1 + y : height - 1 + y, 1 + x : width - 1 + x] for y, x in _CORNERS]  # views
    north, _, east, _, south, _, west, _ = neighbours
    changed = True
    while changed:
        changed = False
        for first, second in (((north, east, south), (east, south, west)), ((north, east, west), (north, south, west))):
            count = sum(one.view(np.uint8) for one in neighbours)
            steps = sum(
                (~one & other).view(np.uint8)
                for one, other in zip(neighbours, neighbours[1:] + neighbours[:1], strict=True)
            )
            keep = (count < 2) | (count > 6) | (steps != 1)
            for three in (first, second):
                keep |= three[0] & three[1] & three[2]
            changed |= bool((inner & ~keep).any())
            inner &= keep
    for shape, stroke in zip(shapes, strokes, strict=True):
        parts, count = ndimage.label(shape, np.ones((3, 3)))
        for part in set(range(1, count + 1)) - set(parts[stroke]):
            stroke[tuple(np.argwhere(parts == part).mean(0).round().astype(int))] = True
    return strokes


def _points(stroke: np.ndarray) -> np.ndarray:
    """Points of a thinned character, float64 `[points, 2]` (y, x), centred, the longer side 1."""
    points = np.argwhere(stroke).astype(np.float64)
    points -= (points.max(0) + points.min(0)) / 2
    return points / max(np.ptp(points, axis=0).max(), 1)


def _spline(coordinates: np.ndarray) -> np.ndarray:
    """Weights of the cubic B-spline's knots at coordinates in -0.5..0.5: `[points, KNOTS]`."""
    place = np.clip(coordinates + 0.5, 0, 1) * (KNOTS - 3)
    first = np.minimum(place.astype(int), KNOTS - 4)
    t = place - first
    weights = np.zeros((len(coordinates), KNOTS))
    for k, value in enumerate(((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)):
        weights[np.arange(len(t)), first + k] = value / 6
    return weights


# Mean square of the weights. It relates the deviation of the knots to that of the bending.
_SPREAD = float(np.square(_spline(np.linspace(-0.5, 0.5, 201))).sum(1).mean())


def _drawings(points: np.ndarray, code_point: int, drawers: int) -> np.ndarray:
    """One character, uint8 `[drawers, 28, 28]`; each drawing has its own key."""
    keyed = [
        np.random.default_rng((SEED, code_point, drawer)).standard_normal(7 + 2 * KNOTS**2) for drawer in range(drawers)
    ]
    normal = np.stack(keyed)
    rotation, slant, size, aspect, pen, *shift = normal[:, :7].T[..., None]  # each [drawers, 1]
    y = points[:, 0] * LENGTH * np.exp(LOG_SIZE * size + LOG_ASPECT * aspect / 2)
    x = points[:, 1] * LENGTH * np.exp(LOG_SIZE * size - LOG_ASPECT * aspect / 2) - SLANT * slant * y
    knots = normal[:, 7:].reshape(drawers, 2, KNOTS, KNOTS)
    bend = (
        BEND
        / _SPREAD
        * np.einsum("nk,dckl,nl->cdn", _spline(points[:, 0]), knots, _spline(points[:, 1]), optimize=True)
    )
    y, x = y + bend[0], x + bend[1]
    cos, sin = np.cos(ROTATION * rotation), np.sin(ROTATION * rotation)
    y, x = cos * y - sin * x, sin * y + cos * x
    radius = PEN * np.exp(LOG_PEN * pen)
    places = [_placed(*axis, radius) for axis in zip((y, x), CENTRE, shift, strict=True)]

    grid = SIZE * FINE
    rows, columns = (np.clip(place * FINE, 0, grid - 1).astype(int) for place in places)
    empty = np.ones((drawers, grid, grid), bool)
    empty[np.arange(drawers)[:, None], rows, columns] = False
    # One call for all drawers. A large step between drawers keeps their distances separate.
    distance = ndimage.distance_transform_edt(empty, sampling=(4 * grid, 1, 1))
    ink = np.clip(radius[..., None] * FINE - distance + 0.5, 0, 1)
    ink = ink.reshape(drawers, SIZE, FINE, SIZE, FINE).mean((2, 4))
    return np.rint(255 * ink).astype(np.uint8)


def _placed(line: np.ndarray, centre: float, shift: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Move coordinates along one axis to their position, `[drawers, points]`, inside the image if they fit."""
    line = line - (line.max(1, keepdims=True) + line.min(1, keepdims=True)) / 2 + centre + SHIFT * shift
    line = line - np.minimum(line.min(1, keepdims=True) - radius, 0)
    return line - np.maximum(line.max(1, keepdims=True) + radius - SIZE, 0)


def separation(strokes: np.ndarray) -> np.ndarray:
    """Hausdorff distance of each pair of thinned characters `[n, height, width]`: float32 `[n, n]`.

    In pixels of a drawing whose longer side has 20 pixels. It is the largest distance of any point
    of one character from the strokes of the other, so one extra dot makes it large.
    """
    distance = (
        np.stack([ndimage.distance_transform_edt(~stroke) for stroke in strokes])
        .astype(np.float32)
        .reshape(len(strokes), -1)
    )
    farthest = np.stack([distance[:, stroke.ravel()].max(1) for stroke in strokes]) * np.float32(UNIT)
    return np.maximum(farthest, farthest.T)


def near_duplicates() -> dict[str, list[str]]:
    """The candidates of each script that are closer than `NEAR` to a character that was kept before."""
    named = [(name, character) for name, script in SCRIPTS.items() for character in expand(script.candidates)]
    apart = separation(thin(outlines([character for _, character in named])))
    kept: list[int] = []
    removed: dict[str, list[str]] = {name: [] for name in SCRIPTS}
    for index, (name, character) in enumerate(named):
        if (apart[index, kept] < NEAR).any():
            removed[name].append(character)
        else:
            kept.append(index)
    return removed
