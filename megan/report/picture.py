"""A figure with its title and caption, and the function that writes both to files."""

import io
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image, ImageChops, ImageStat

from megan.report import style
from megan.runs import storage

EMPTY = "An empty figure"  # begins the alternative text of a figure that has nothing to show
ENDINGS = ("png", "svg", "json")  # the files of one figure
_PALETTE = 256  # colours of a PNG with a palette, which takes a third of the size, but spoils photographs
_MOST_ERROR = 2.5  # root mean square over all pixels, of 255: a palette that changes more is not used


@dataclass(frozen=True)
class Picture:
    """A figure, its title and caption, and `alt`: one sentence for a reader who cannot see it."""

    figure: Figure
    title: str
    caption: str
    alt: str


def described(figure: Figure, title: str, caption: str, alt: str) -> Picture:
    """The figure with its title and caption, which are written beside it and not drawn inside it."""
    return Picture(figure, title, " ".join(caption.split()), alt)


def save(picture: Picture, folder: Path, name: str) -> None:
    """Write `name.png`, `name.svg` and `name.json` into the folder. The same picture gives the same bytes.

    The JSON file holds title, caption and alt. The pictures hold no version and no date.
    """
    with style.theme():
        _fix_layout(picture.figure)
        _save_png(picture.figure, folder / f"{name}.png")
        picture.figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
    words = {"title": picture.title, "caption": picture.caption, "alt": picture.alt}
    storage.write_json(folder / f"{name}.json", words)


def _save_png(figure: Figure, path: Path) -> None:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=style.DPI)
    with Image.open(drawn) as image:
        full = image.convert("RGB")
    few = full.quantize(_PALETTE, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    error = ImageStat.Stat(ImageChops.difference(full, few.convert("RGB"))).rms
    kept = few if max(error) <= _MOST_ERROR else full
    kept.save(path, format="PNG", optimize=True, dpi=(style.DPI, style.DPI))


def _fix_layout(figure: Figure) -> None:
    """Compute the layout once, for both files, and round the result.

    The last digits of the layout differ from run to run, and the SVG names its clipping areas after them.
    """
    engine = figure.get_layout_engine()
    if engine:
        engine.execute(figure)
    figure.set_layout_engine(None)
    for axes in figure.axes:
        left, bottom, width, height = (round(bound, 6) for bound in axes.get_position().bounds)
        axes.set_position((left, bottom, width, height))
