"""Fakes of each variant on the same tasks, as small pictures that the page's sliders choose from.

`grids.safetensors` holds `fakes/VARIANT`, the fakes of the tested weights after the last inner step.
It may also hold `fakes/VARIANT@META_STEP` and `fakes/VARIANT@META_STEP.INNER_STEP`, of the same
shape: fakes of other moments. The page then shows a slider for each.
"""

import base64
import io
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from megan.config import paths
from megan.config.params import Params
from megan.report import captions, grids
from megan.report.inputs import read_json
from megan.report.page.variants import Variant

NAME = re.compile(r"fakes/(?P<variant>[^@]+)(@(?P<meta>\d+)(\.(?P<inner>\d+))?)?$")
LAST = "last"  # the moment that is tested: the chosen checkpoint, after the last inner step
MOST_TASKS, MOST_COLUMNS = 3, 10  # pictures are most of a page, and records have little room
_RULE, _PAPER_GREY = 6, 232  # pixels between support images and fakes; its grey level


@dataclass(frozen=True)
class Card:
    """Pictures of one variant: moment -> one data URL for each task. The moments are those of `Gallery`."""

    name: str
    label: str
    tier: str
    numbers: str
    pictures: dict[str, list[str]]


@dataclass(frozen=True)
class Gallery:
    """Cards of all variants with fakes. `meta` and `inner` are the moments other than the last, in order."""

    cards: list[Card]
    tasks: int
    width: int
    height: int
    seed: int | None
    meta: list[int]
    inner: list[int]
    judge: str

    def data(self) -> dict[str, Any]:
        """What the page's script reads."""
        return {"meta": self.meta, "inner": self.inner, "pictures": {card.name: card.pictures for card in self.cards}}


def read(params: Params, variants: list[Variant]) -> Gallery:
    """Raises `ReportError` if the samples are missing or damaged."""
    folder = paths.samples(params.study)
    images, seed = grids.read(folder), read_json(folder / "record.json", ["seed"])["seed"]
    facts = captions.read(paths.tables(params.study), params.styles)
    table = grids.realism(folder, params.styles, facts)
    moments = [match for match in map(NAME.match, images) if match]
    cards, shape = [], (0, 0)
    for variant in variants:
        own = [match for match in moments if match["variant"] == variant.name]
        support = images.get(f"support/{variant.name}")
        if not own or support is None:
            continue
        pictures = {_moment(match): _tasks(images[match.group()], support) for match in own}
        shape = _size(images[own[0].group()], support)
        urls = {moment: [_url(canvas) for canvas in canvases] for moment, canvases in pictures.items()}
        cards.append(Card(variant.name, variant.label, variant.tier, grids.numbers(table, variant.name), urls))
    counts = {len(urls) for card in cards for urls in card.pictures.values()}
    return Gallery(
        cards, min(counts, default=0), *shape, seed,
        sorted({int(match["meta"]) for match in moments if match["meta"]}),
        sorted({int(match["inner"]) for match in moments if match["inner"]}),
        grids.judge(folder) if cards else "",
    )  # fmt: skip


def _moment(match: re.Match[str]) -> str:
    """The key of a moment: "last", "500" or "500.2"."""
    return match.group().partition("@")[2] or LAST


def _size(fakes: np.ndarray, support: np.ndarray) -> tuple[int, int]:
    height, width = _tasks(fakes, support)[0].shape[:2]
    return width, height


def _tasks(fakes: np.ndarray, support: np.ndarray) -> list[np.ndarray]:
    """One canvas for each task: the support images, then one row for each draw.

    `fakes` uint8 [tasks, draws, fakes, height, width(, channels)]; `support` [tasks, ways * shots, ...].
    """
    columns = min(MOST_COLUMNS, support.shape[1], fakes.shape[2])
    canvases = []
    for task in range(min(MOST_TASKS, len(fakes))):
        reals = grids.mosaic(support[task][None, None, :columns])
        drawn = grids.mosaic(fakes[task][None, : grids.MOST_ROWS, :columns])
        rule = np.full((_RULE, *reals.shape[1:]), _PAPER_GREY, np.uint8)
        canvases.append(np.concatenate([reals, rule, drawn]))
    return canvases


def arrays(page: str, side: int) -> dict[str, np.ndarray]:
    """The images that a page shows, as `grids.read` gives them, from its text: the reverse of `_tasks`.

    `fakes/VARIANT[@MOMENT]` uint8 [tasks, draws, columns, side, side(, channels)] and `support/VARIANT` uint8
    [tasks, columns, side, side(, channels)]. Grey images have the 16 greys of the page. Empty if it shows no fakes.
    """
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    found = {}
    for variant, moments in (json.loads(data[1])["fakes"]["pictures"] if data else {}).items():
        for moment, urls in moments.items():
            canvases = np.stack([_canvas(url) for url in urls])
            name = variant if moment == LAST else f"{variant}@{moment}"
            found[f"fakes/{name}"] = grids.images(canvases[:, side + _RULE :], side)
            found[f"support/{variant}"] = grids.images(canvases[:, :side], side)[:, 0]
    return found


def _canvas(url: str) -> np.ndarray:
    """The canvas of `_url`."""
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGB" if picture.format == "WEBP" else "L"))


def _url(canvas: np.ndarray) -> str:
    """A canvas uint8 [height, width(, channels)]: strokes as PNG of 16 greys, colours as WebP. Both are small."""
    buffer, picture = io.BytesIO(), Image.fromarray(canvas)
    if canvas.ndim == 3:
        form = "webp"
        picture.save(buffer, format=form, quality=80)
    else:
        form = "png"
        _in_greys(picture).save(buffer, format=form, optimize=True, bits=4)
    return f"data:image/{form};base64," + base64.b64encode(buffer.getvalue()).decode()


def _in_greys(picture: Image.Image) -> Image.Image:
    """The nearest of 16 greys, from black to white, for each pixel."""
    greys = picture.point(lambda level: (level + 8) // 17)
    greys.putpalette([17 * number for number in range(16) for _ in "RGB"])
    return greys
