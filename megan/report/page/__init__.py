"""The report page: the answer, the claims, curves, fakes, all variants, figures, and how each number was made.

One HTML file that needs no network: it contains the figures, the data of its charts, and the charting library.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from megan.config import paths
from megan.config.params import Params
from megan.report import figures, picture
from megan.report.inputs import COMMAND, ReportError, broken, read_json, read_table
from megan.report.page import answer, chart, gallery, origin, published, variants, verdicts

TEMPLATES = Path(__file__).parent / "templates"
WIDEST_OF_ONE_COLUMN = 300  # points; a wider figure gets the whole width of the page
_PLAIN = " /:;=,+()"  # besides letters, digits and "_.-~": needs no escape in a data URL, nor in HTML
PIXELS = 96 / 72  # of CSS in one point


def render(params: Params) -> str:
    """The page as HTML. All text from tables and parameters is escaped.

    **Raises** `ReportError` if a table, a figure or the samples are missing or damaged.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    rows = variants.read(params)
    claims = verdicts.read(params)
    fakes = gallery.read(params, rows)
    title = str(read_table(paths.tables(params.study) / "accuracy.csv", ["dataset"])["dataset"].iloc[0])
    first = variants.compared(rows)
    return environment.get_template("page.html").render(
        study=params.study, waiting=_waiting(params), title=title, settings=params.current, rules=params.claims,
        sentences=answer.sentences(params, title, rows, claims), first=first, first_axis=variants.axis(first),
        claims=claims, variants=rows, fakes=fakes, published=published.read(params, rows),
        dashes=chart.dashes(rows), data=_data(params, rows, fakes), library=chart.library(),
        figures=[_figure(params.study, name) for name in figures.FIGURES],
        origin=origin.read(params, rows), limits=origin.limits(params, rows, fakes), diverged=_diverged(params),
    )  # fmt: skip


def _waiting(params: Params) -> list[str]:
    """What a provisional page was made without: names of variants, and the plain GAN."""
    return ["the plain GAN" if address == "gan" else address.removeprefix("test@") for address in params.waiting]


def _data(params: Params, rows: list[variants.Variant], fakes: gallery.Gallery) -> dict[str, Any]:
    """What the page's script reads."""
    return {
        "curves": chart.data(params, rows),
        "specification": chart.specification(rows),
        "labels": {row.name: row.label for row in rows},
        "fakes": fakes.data(),
    }


def _figure(study: str, name: str) -> dict[str, Any]:
    """The figure as a data URL, with its title, caption, alternative text and the module that drew it."""
    path = paths.figures(study) / f"{name}.svg"
    words = read_json(path.with_suffix(".json"), ["title", "caption", "alt"])
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ReportError(f"{path} is missing; run `{COMMAND}` to make it") from None
    if not content.rstrip().endswith(b"</svg>"):
        raise broken(path, "is incomplete: its end is missing")
    data = "data:image/svg+xml," + quote(content, safe=_PLAIN)  # about 15 % smaller than base64
    entry, (width, height) = figures.FIGURES[name], _size(content)
    return {
        "name": name, "data": data, "code": entry.code, "folded": entry.folded, "width": round(width * PIXELS),
        "height": round(height * PIXELS), "wide": width > WIDEST_OF_ONE_COLUMN,
        "empty": words["alt"].startswith(picture.EMPTY), **words,
    }  # fmt: skip


def _size(svg: bytes) -> tuple[float, float]:
    """Width and height in points, as matplotlib writes them."""
    width, height = (svg.partition(f' {side}="'.encode())[2].partition(b"pt")[0] for side in ("width", "height"))
    return float(width or 0), float(height or 0)


def _diverged(params: Params) -> list[dict[str, Any]]:
    table = read_table(paths.tables(params.study) / "diverged.csv", ["variant", "label", "seed", "meta_step", "loss"])
    return table[table["variant"].isin(list(params.variants))].to_dict("records")
