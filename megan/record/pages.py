"""The pages of records share their charting library: it is half of a page, and records are in git.

A page of `results/<study>/` is one file that contains the library. In a record the page loads it from
`results/record/library-<digest>.js`. The other parts of the page are the same.
"""

import hashlib
import re
from pathlib import Path

from megan.config import paths
from megan.runs import storage

NAME = "report.html"
_INSIDE = re.compile(r'<script type="text/plain" id="library">([^<]+)</script>')
# Makes the element that the page's script reads.
_LOADED = """// Vega and Vega-Lite, compressed. Their licences are at the end of each page that loads this file.
{{
  const library = document.createElement("script");
  library.type = "text/plain"; library.id = "library";
  library.textContent = "{packed}";
  document.currentScript.after(library);
}}
"""


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
