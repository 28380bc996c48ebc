"""The packed images of one split, in the file that stage `prepare` writes."""

import json
import math
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors
import torch
from torch import Tensor

from megan.errors import DataError
from megan.runs import storage


@dataclass(frozen=True)
class Split:
    """Images of one split on a device. The classes of an alphabet are adjacent."""

    images: Tensor  # uint8 [classes, images, side, side, channels]
    alphabet: Tensor  # int64 [classes]: row of `alphabet_names`
    first: Tensor  # int64 [alphabets]: the first class of each alphabet
    size: Tensor  # int64 [alphabets]: its number of classes
    alphabet_names: tuple[str, ...]
    class_names: tuple[str, ...]
    largest: int  # classes of the largest alphabet
    embedding: Tensor | None = None  # [classes, images, features] of the prototype encoder, where it is needed
    _usable: dict[int, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def usable_alphabets(self, ways: int) -> Tensor:
        """Alphabets with at least `ways` classes, int64 `[alphabets]`; `ValueError` if there is none.

        The answer is stored after the first call, because computing it waits for the device.
        """
        if ways not in self._usable:
            found = (self.size >= ways).nonzero()[:, 0]
            if not len(found):
                raise ValueError(f"no alphabet has {ways} classes; the largest has {self.largest}")
            self._usable[ways] = found
        return self._usable[ways]


def write(path: Path, images: dict[str, np.ndarray], names: dict[str, list[str]]) -> None:
    """Write one split. Equal content gives equal bytes.

    The file is a safetensors file, written here a block at a time, because safetensors itself copies all
    images several times and writes metadata in random order.

    **Arguments** by alphabet: `images` uint8 `[characters, images, side, side]`, or `[..., channels]` where there
    are several; and the `names` of the characters.
    """
    blocks = list(images.values())
    alphabet = np.repeat(np.arange(len(images), dtype="<i8"), [len(block) for block in blocks])
    shape = [len(alphabet), *blocks[0].shape[1:]]
    end = alphabet.nbytes + math.prod(shape)
    metadata = {
        "alphabets": json.dumps(list(images), ensure_ascii=False),
        "characters": json.dumps(
            [f"{name}/{character}" for name in images for character in names[name]], ensure_ascii=False
        ),
    }
    content = {
        "__metadata__": metadata,
        "alphabet": {"dtype": "I64", "shape": [len(alphabet)], "data_offsets": [0, alphabet.nbytes]},
        "images": {"dtype": "U8", "shape": shape, "data_offsets": [alphabet.nbytes, end]},
    }
    header = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    with storage.replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + alphabet.tobytes())
        for block in blocks:
            file.write(np.ascontiguousarray(block).data)


def load(path: Path, rotations: bool = False, device: str | torch.device = "cpu") -> Split:
    """Read one split.

    **Arguments** `rotations`: add each character rotated by 90, 180 and 270 degrees
    counter-clockwise, as a new class after the upright ones of its alphabet.
    **Raises** `DataError` if the file is missing or not written by `write`.
    """
    images, alphabet, alphabet_names, class_names = _read(path)
    size = torch.bincount(alphabet, minlength=len(alphabet_names))
    if rotations:
        blocks, names = [], []
        for block, start in zip(images.split(size.tolist()), (size.cumsum(0) - size).tolist(), strict=True):
            for quarter in range(4):
                blocks.append(block.rot90(quarter, (2, 3)))
                suffix = f"/rot{90 * quarter}" if quarter else ""
                names += [name + suffix for name in class_names[start : start + len(block)]]
        images, class_names, size = torch.cat(blocks), names, 4 * size
        alphabet = torch.arange(len(size)).repeat_interleave(size)
    return Split(
        images=images.to(device),
        alphabet=alphabet.to(device),
        first=(size.cumsum(0) - size).to(device),
        size=size.to(device),
        alphabet_names=tuple(alphabet_names),
        class_names=tuple(class_names),
        largest=int(size.max()),
    )


def _read(path: Path) -> tuple[Tensor, Tensor, list[str], list[str]]:
    if not path.is_file():
        raise DataError(f"{path} does not exist; run `python -m megan prepare`, or `dvc repro`")
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        alphabets, characters = (json.loads(metadata[key]) for key in ("alphabets", "characters"))
    except KeyError as error:
        raise _wrong(path, f"metadata {error} is missing") from None
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _wrong(path, f"it cannot be read ({' '.join(str(error).split())})") from None
    if set(tensors) != {"images", "alphabet"}:
        raise _wrong(path, f"its tensors are {sorted(tensors)}: expected 'alphabet' and 'images'")
    images, alphabet = tensors["images"], tensors["alphabet"]
    if (
        images.dtype != torch.uint8
        or images.ndim not in (4, 5)
        or images.shape[2] != images.shape[3]
        or 0 in images.shape
    ):
        raise _wrong(
            path,
            f"images is {images.dtype} {list(images.shape)}: expected uint8 [characters, images, side, side] or"
            " [..., channels]",
        )
    if alphabet.dtype != torch.int64 or alphabet.shape != images.shape[:1]:
        raise _wrong(path, f"alphabet is {alphabet.dtype} {list(alphabet.shape)}: expected int64 [{len(images)}]")
    for key, names in (("alphabets", alphabets), ("characters", characters)):
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise _wrong(path, f"metadata {key!r} is not a list of names")
    if len(characters) != len(images):
        raise _wrong(path, f"metadata 'characters' has {len(characters)} names: expected {len(images)}")
    if (
        alphabet[0] != 0
        or alphabet[-1] != len(alphabets) - 1
        or not ((alphabet.diff() == 0) | (alphabet.diff() == 1)).all()
    ):
        raise _wrong(path, f"alphabet does not count 0..{len(alphabets) - 1} in order, without gaps")
    return images if images.ndim == 5 else images[..., None], alphabet, alphabets, characters


def _wrong(path: Path, problem: str) -> DataError:
    return DataError(f"{path}: {problem}; delete it and run `python -m megan prepare`, or `dvc repro`")
