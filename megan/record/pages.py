"""The page of a record is small, as records are in git: it loads what lies beside it, and repeats nothing.

A page of `results/<study>/` is one file. It contains the charting library and the figures as SVG. In a record the page
loads the library from `results/record/library-<digest>.js`, which all records share, and the figures from
`figures/NAME.png`. The values of its curves are in columns, and images that are the same at several moments are there
once. The other parts of the page are the same.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2.utils import htmlsafe_json_dumps

from megan.config import paths
from megan.runs import storage

NAME = "report.html"
_INSIDE = re.compile(r'<script type="text/plain" id="library">([^<]+)</script>')
_LOADS = re.compile(r'<script src="\.\./(library-([0-9a-f]{8})\.js)"></script>')
_DRAWN = re.compile(r'(<figure id="(\w+)"(?:(?!</figure>).)*?<img )src="data:image/svg\+xml[^"]*"', re.DOTALL)
_DATA = re.compile(r'(<script type="application/json" id="data">)(.*?)(</script>)', re.DOTALL)
_VARIANT = "v"  # the key of a row that names its variant
# Undoes `_packed` for the page's script, which follows.
_UNPACK = """<script>
{
  const held = document.getElementById("data"), { curves, fakes, ...rest } = JSON.parse(held.textContent);
  for (const [kind, variants] of Object.entries(curves))
    curves[kind] = Object.entries(variants).flatMap(([v, columns]) => {
      const row = (at) => Object.fromEntries(Object.entries(columns).map(([key, column]) => [key, column[at]]));
      return columns.x.map((_, at) => ({ v, ...row(at) }));
    });
  for (const moments of Object.values(fakes.pictures))
    for (const [moment, urls] of Object.entries(moments)) if (typeof urls === "string") moments[moment] = moments[urls];
  held.textContent = JSON.stringify({ curves, fakes, ...rest });
}
</script>"""
# Makes the element that the page's script reads.
_LOADED = """// Vega and Vega-Lite, compressed. Their licences are at the end of each page that loads this file.
{{
  const library = document.createElement("script");
  library.type = "text/plain"; library.id = "library";
  library.textContent = "{packed}";
  document.currentScript.after(library);
}}
"""


def lighten(page: Path) -> None:
    """Make a page small that will lie in `results/record/<study>/`; not one that is small already. Done in place."""
    text = _DRAWN.sub(r'\1src="figures/\2.png"', page.read_text(encoding="utf-8"))
    storage.write_text(page, _DATA.sub(_smaller, text))
    share_library(page)


def _smaller(found: re.Match[str]) -> str:
    data = htmlsafe_json_dumps(_packed(json.loads(found[2])), separators=(",", ":"))
    return f"{found[1]}{data}{found[3]}{_UNPACK}"


def _packed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a page without what is repeated in it.

    - Curves: `[{v, x, y, ...}]` becomes `{v: {"x": [...], "y": [...], ...}}`, a column for each key.
    - Images of the fakes: a moment with the same images as an earlier one has the name of that moment instead.
    """
    curves = {kind: _columns(rows) for kind, rows in data["curves"].items()}
    pictures = {variant: _named_once(moments) for variant, moments in data["fakes"]["pictures"].items()}
    return {**data, "curves": curves, "fakes": {**data["fakes"], "pictures": pictures}}


def with_images(page: str) -> str:
    """The text of a record's page with the images of each moment, as `megan.report.page.gallery` reads it."""

    def undo(found: re.Match[str]) -> str:
        data = json.loads(found[2])
        for moments in data["fakes"]["pictures"].values():
            moments |= {name: moments[urls] for name, urls in moments.items() if isinstance(urls, str)}
        return f"{found[1]}{htmlsafe_json_dumps(data)}{found[3]}"

    return _DATA.sub(undo, page)


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    grouped: dict[str, dict[str, list[Any]]] = {}
    for row in rows:
        for key in (key for key in row if key != _VARIANT):
            grouped.setdefault(row[_VARIANT], {}).setdefault(key, []).append(row[key])
    return grouped


def _named_once(moments: Mapping[str, list[str]]) -> dict[str, list[str] | str]:
    first: dict[tuple[str, ...], str] = {}
    names = {moment: first.setdefault(tuple(urls), moment) for moment, urls in moments.items()}
    return {moment: moments[moment] if name == moment else name for moment, name in names.items()}


def share_library(page: Path) -> None:
    """Move the library out of a page that will lie in `results/record/<study>/`. The page is rewritten in place."""
    text = page.read_text(encoding="utf-8")
    found = _INSIDE.search(text)
    if found is None:
        return
    script = _LOADED.format(packed=found[1])
    shared = paths.RECORD / f"library-{_short_digest(script)}.js"
    if not shared.is_file() or shared.read_text(encoding="utf-8") != script:
        storage.write_text(shared, script)
    storage.write_text(page, text.replace(found[0], f'<script src="../{shared.name}"></script>'))


def broken_library(page: Path) -> str:
    """What is wrong with the library that the page of a record loads, or ""; its name has the start of its digest."""
    found = _LOADS.search(page.read_text(encoding="utf-8")) if page.is_file() else None
    if found is None:
        return ""
    shared = page.parent.parent / found[1]
    if not shared.is_file():
        return f"{shared}, which the page loads, is missing; restore it from git"
    altered = _short_digest(shared.read_text(encoding="utf-8")) != found[2]
    return f"{shared}, which the page loads, is altered; restore it from git" if altered else ""


def _short_digest(script: str) -> str:
    return hashlib.sha256(script.encode()).hexdigest()[:8]


def remove_unused() -> None:
    """Remove the libraries that no page of a record loads any more."""
    pages = "".join(path.read_text(encoding="utf-8") for path in paths.RECORD.glob(f"*/{NAME}"))
    for path in paths.RECORD.glob("library-*.js"):
        if path.name not in pages:
            path.unlink()
