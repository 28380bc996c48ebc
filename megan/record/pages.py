"""The page of a record is small, as records are in git: it loads what lies beside it.

A page of `results/<study>/` is one file. It contains the charting library and the figures as SVG. In a record the page
loads the library from `results/record/library-<digest>.js`, which all records share, and the figures from
`figures/NAME.png`. The other parts of the page are the same.
"""

import hashlib
import re
from pathlib import Path

from megan.config import paths
from megan.runs import storage

NAME = "report.html"
_INSIDE = re.compile(r'<script type="text/plain" id="library">([^<]+)</script>')
_DRAWN = re.compile(r'(<figure id="(\w+)"(?:(?!</figure>).)*?<img )src="data:image/svg\+xml[^"]*"', re.DOTALL)
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
    """Make a page that will lie in `results/record/<study>/` load its figures and its library. Rewritten in place."""
    text = page.read_text(encoding="utf-8")
    storage.write_text(page, _DRAWN.sub(r'\1src="figures/\2.png"', text))
    share_library(page)


def share_library(page: Path) -> None:
    """Move the library out of a page that will lie in `results/record/<study>/`. The page is rewritten in place."""
    text = page.read_text(encoding="utf-8")
    found = _INSIDE.search(text)
    if found is None:
        return
    script = _LOADED.format(packed=found[1])
    shared = paths.RECORD / f"library-{hashlib.sha256(script.encode()).hexdigest()[:8]}.js"
    if not shared.is_file():
        storage.write_text(shared, script)
    storage.write_text(page, text.replace(found[0], f'<script src="../{shared.name}"></script>'))


def remove_unused() -> None:
    """Remove the libraries that no page of a record loads any more."""
    pages = "".join(path.read_text(encoding="utf-8") for path in paths.RECORD.glob(f"*/{NAME}"))
    for path in paths.RECORD.glob("library-*.js"):
        if path.name not in pages:
            path.unlink()
