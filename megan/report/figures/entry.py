"""What the list of figures says of each. Nothing that draws is imported before a figure is built."""

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
    """A figure with a module of its own, which has the figure's name.

    `reads` names folders as `megan.config.paths` does; `build` is given them in this order.
    """

    name: str
    reads: tuple[str, ...] = ("tables",)

    def build(self, folders: Sequence[Path], styles: dict[str, Style]) -> Picture:
        """Draw the figure from the folders. `styles` names the study's variants and their colours."""
        return import_module(f"megan.report.figures.{self.name}").build(*folders, styles)


@dataclass(frozen=True, kw_only=True)
class Comparison(Entry):
    """A figure that sets a few variants side by side.

    `subject` begins the title. `paper` says what the paper shows, in whole sentences. The caption adds our
    numbers; differences are to the first of `variants`.
    """

    variants: tuple[str, ...]
    subject: str
    paper: str
