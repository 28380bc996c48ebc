"""An entry in the list of figures. The drawing code is imported only when a figure is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from megan.config.params import Style

if TYPE_CHECKING:
    from megan.report.picture import Picture


@dataclass(frozen=True)
class Entry:
    """A figure with its own module of the same name.

    `reads` names folders as in `megan.config.paths`; `build` gets them in this order.
    `folded`: the page shows the figure on request.
    """

    name: str
    reads: tuple[str, ...] = ("tables",)
    folded: bool = False

    @property
    def code(self) -> str:
        """The source file that draws the figure, relative to the root of the repository."""
        module = type(self).__module__
        return f"{(f'megan.report.figures.{self.name}' if module == __name__ else module).replace('.', '/')}.py"

    def build(self, folders: Sequence[Path], styles: dict[str, Style]) -> Picture:
        """Draw the figure from the folders. `styles` holds labels and colours of the study's variants."""
        return import_module(f"megan.report.figures.{self.name}").build(*folders, styles)


@dataclass(frozen=True, kw_only=True)
class Comparison(Entry):
    """A figure that compares a few variants.

    `subject` begins the title. `paper` says in whole sentences what the paper shows; the caption adds our
    numbers. Differences are to the first of `variants`. `figure` is the number of the paper's figure whose
    curves are drawn beside ours, or 0.
    """

    variants: tuple[str, ...]
    figure: int = 0
    subject: str
    paper: str
