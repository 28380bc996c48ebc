"""A hook of MkDocs: pages of the documentation site that lie outside `docs`, and links out of that folder.

Git's own pages show relative links to any file of the repository. The site has pages only. So files in `PAGES`
become pages, and a link to another file becomes its path as text. A link to a file that does not exist is an error.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "workflow/README.md": "workflow.md"}
IMAGES = (".png", ".svg")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and images that lie outside `docs`."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
        for mark, _, target in LINK.findall(text):
            _add_image(files, config, source, mark, target)
    for file in list(files.documentation_pages()):
        source = _source(file.src_uri)
        if file.src_uri not in PAGES.values():
            for mark, _, target in LINK.findall(file.content_string):
                _add_image(files, config, source, mark, target)
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Links to other files of the repository, as the site can show them."""
    source = _source(page.file.src_uri)

    def changed(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        path, _, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return found.group()
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if not (ROOT / wanted).exists():
            raise PluginError(f"{source} links to {target}, which is no file of the repository")
        uri = _uri(wanted)
        if files.get_file_from_path(uri) is None:
            return f"`{wanted}`" if words.strip("`") in (path, wanted) else f"{words} (`{wanted}`)"
        here = posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")
        return f"{mark}[{words}]({here}{'#' * bool(anchor)}{anchor})"

    return LINK.sub(changed, markdown)


def _add_image(files: Files, config: Any, source: str, mark: str, target: str) -> None:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if mark and path.endswith(IMAGES) and files.get_file_from_path(_uri(path)) is None and (ROOT / path).is_file():
        files.append(File.generated(config, _uri(path), abs_src_path=str(ROOT / path)))


def _source(uri: str) -> str:
    """The file of the repository that a page of the site is made of."""
    return next((source for source, page in PAGES.items() if page == uri), f"docs/{uri}")


def _uri(path: str) -> str:
    """The place in the site of a file of the repository, if it has one."""
    return PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else f"files/{path}")
