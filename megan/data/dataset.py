"""What a data set is. Each is one module of `megan/data/sets`; its name there is its name in `params.yaml`."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from megan.config.schema import Gan

APART = 100  # images of a class that the plain GAN's classifier learns from, and no GAN
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

    # Names of the characters by part (`background`, `evaluation`) and alphabet, both sorted
    alphabets: Callable[[], dict[str, Alphabets]]
    # From the raw folder: images of each alphabet, uint8 `[characters, 20, 28, 28]` with ink = 255, characters in
    # the order of their names; and the digest of each file. Raises `DataError` for anything else.
    read: Callable[[Path], tuple[dict[str, np.ndarray], dict[str, str]]]
    rotations: bool  # whether a rotated character may count as a class of its own


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
    manifest: Callable[[], dict] | None = None  # what an embedded one is made from
    characters: Characters | None = None  # for few-shot tasks
    by_class: Callable[[Path, Gan], ByClass] | None = None  # for the plain GAN, from the raw folder


def load(name: str) -> DataSet:
    """The data set of a module of `megan/data/sets`."""
    return import_module(f"megan.data.sets.{name}").DATA_SET
