"""What a data set is. Each is one module of `megan/data/sets`; its name there is its name in `params.yaml`."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from megan.config.schema import Data, Gan
from megan.errors import DataError

APART = 100  # images of a class that the plain GAN's classifier learns from, and no GAN
SPLITS = ("train", "validation", "test")
HELD = 200  # held-out images of a class, and as many samples to compare with them

Alphabets = dict[str, list[str]]  # names of the characters of each alphabet


@dataclass(frozen=True)
class Source:
    """One public file of a data set."""

    name: str  # path below `data/downloads`, and below a mirror
    address: str  # the public one
    largest: int  # bytes; the right file has no more
    verify: Callable[[Path], None]  # raises `DataError` for a wrong file


@dataclass(frozen=True)
class Characters:
    """A data set that few-shot tasks can be made of."""

    # Names of the characters by part and alphabet, both sorted. Protocol `alphabet` needs the parts `background` and
    # `evaluation`; protocol `parts` needs `train`, `validation` and `test`, or one part that it divides.
    alphabets: Callable[[Data], dict[str, Alphabets]]
    # From the raw folder: images of each alphabet, uint8 `[characters, images, side, side]`, or `[..., channels]`
    # where there are several, characters in the order of their names; and the digest of each file. Raises
    # `DataError` for anything else.
    read: Callable[[Path, Data], tuple[dict[str, np.ndarray], dict[str, str]]]
    images: Callable[[Data], int]  # of the character that has the fewest
    side: int | None = None  # pixels; None: as the study says
    channels: int | None = None  # None: as the study says
    takes_folder: bool = False  # whether it reads `data.folder`
    rotations: bool = False  # whether a rotated character may count as a class of its own
    ink: bool = True  # whether 255 is ink on paper, drawn black; else it is light


@dataclass(frozen=True)
class ByClass:
    """Images by class for the plain GAN of Fig. 7, uint8.

    `train` [classes, n, 28, 28]: to take the K from. `held` [classes, HELD, 28, 28]: held out. `apart` [all
    classes of the data set, APART, 28, 28]: for the classifier that measures samples. `names`: of the classes.
    """

    train: np.ndarray
    held: np.ndarray
    apart: np.ndarray
    names: list[str]


@dataclass(frozen=True)
class DataSet:
    """Where a data set comes from, and what can be done with it."""

    title: str  # in figures
    sources: tuple[Source, ...] = ()  # public files; none for an embedded data set
    manifest: Callable[[Data], dict] | None = None  # what it is made from, where that is no public file
    characters: Characters | None = None  # for few-shot tasks
    by_class: Callable[[Path, Gan], ByClass] | None = None  # for the plain GAN, from the raw folder


class NotHereError(DataError):
    """The folder that a study names is not here. Only stages that read it need it."""


def manifest_path(raw: Path, name: str) -> Path:
    """Where stage `download` puts the manifest of data set `name`, below a raw folder."""
    return raw / f"{name}.json"


def load(name: str) -> DataSet:
    """The data set of a module of `megan/data/sets`."""
    return import_module(f"megan.data.sets.{name}").DATA_SET
