"""Fashion-MNIST: 28x28 images of ten kinds of clothing, for the plain GAN of Fig. 7.

Source: Xiao, Rasul and Vollgraf (2017), "Fashion-MNIST: a novel image dataset for
benchmarking machine learning algorithms"; https://github.com/zalandoresearch/fashion-mnist, MIT.
"""

import functools
import gzip
import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megan.config.schema import Gan
from megan.data.dataset import APART, HELD, ByClass, DataSet, Source
from megan.errors import DataError

ADDRESS = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
PACKED_BYTES = 64 << 20  # no packed file is larger


@dataclass(frozen=True)
class Idx:
    """One file in LeCun's IDX format: a header with big-endian sizes, then unsigned bytes."""

    name: str
    shape: tuple[int, ...]
    digest: str  # SHA-256 of the unpacked content; it does not depend on the compression


FILES = {
    "train": (
        Idx(
            "train-images-idx3-ubyte.gz",
            (60_000, 28, 28),
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        Idx(
            "train-labels-idx1-ubyte.gz", (60_000,), "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
        ),
    ),
    "test": (
        Idx(
            "t10k-images-idx3-ubyte.gz",
            (10_000, 28, 28),
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        Idx("t10k-labels-idx1-ubyte.gz", (10_000,), "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
    ),
}


def unpack(path: Path, expected: Idx) -> np.ndarray:
    """The values of one packed IDX file, uint8 of the expected shape.

    Unpacks at most one byte more than the expected length.

    **Raises** `DataError` for a damaged or different file.
    """
    again = f"delete it and fetch {expected.name} again"
    header = struct.pack(f">HBB{len(expected.shape)}I", 0, 8, len(expected.shape), *expected.shape)  # 8: unsigned bytes
    length = len(header) + int(np.prod(expected.shape))
    try:
        size = path.stat().st_size
        if size > PACKED_BYTES:
            raise DataError(f"{path} has {size:,} bytes: expected at most {PACKED_BYTES:,}; this is a different file")
        with gzip.open(path) as file:
            content = file.read(length + 1)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a valid gzip file: {error}; {again}") from None
    if content[: len(header)] != header:
        raise DataError(
            f"{path} begins with {content[: len(header)].hex()!r}:"
            f" expected {header.hex()!r}, IDX bytes of shape {expected.shape}; {again}"
        )
    if len(content) != length:
        found = f"{len(content):,}" if len(content) < length else f"more than {length:,}"
        raise DataError(f"{path} unpacks to {found} bytes: expected {length:,}; {again}")
    found = hashlib.sha256(content).hexdigest()
    if found != expected.digest:
        raise DataError(
            f"{path} holds changed values: content digest {found[:12]}..., expected {expected.digest[:12]}...; {again}"
        )
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(expected.shape)


def _verify(path: Path, expected: Idx) -> None:
    unpack(path, expected)


SOURCES = tuple(
    Source(f"fashion-mnist/{file.name}", ADDRESS + file.name, PACKED_BYTES, functools.partial(_verify, expected=file))
    for files in FILES.values()
    for file in files
)


def read(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the raw folder of stage `download`.

    **Returns** `train` uint8 [10, 6000, 28, 28] and `test` uint8 [10, 1000, 28, 28], one row
    for each class in the order of `CLASSES`, with ink = 255; and the digest of each file.
    **Raises** `DataError` for anything other than the published Fashion-MNIST.
    """
    result = {}
    for part, (images, labels) in FILES.items():
        pictures, classes = unpack(folder / images.name, images), unpack(folder / labels.name, labels)
        rows = [pictures[classes == label] for label in range(len(CLASSES))]
        if len({len(row) for row in rows}) > 1:
            raise DataError(
                f"{folder / labels.name} has {[len(row) for row in rows]} images of the classes:"
                " expected equal numbers; fetch it again"
            )
        result[part] = np.stack(rows)
    return result, {file.name: file.digest for files in FILES.values() for file in files}


def by_class(folder: Path, options: Gan) -> ByClass:
    """The first classes: the K come from the training images, the held-out ones from the test images."""
    parts, _ = read(folder)
    train, classes = parts["train"], options.classes
    held = parts["test"][:classes, :HELD]
    return ByClass(train[:classes, :-APART], held, train[:, -APART:], list(CLASSES[:classes]))


DATA_SET = DataSet(title="Fashion-MNIST", sources=SOURCES, by_class=by_class)
