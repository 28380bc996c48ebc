"""The packed file: equal bytes for equal content, and every wrong file refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from megan.data import packed
from megan.errors import DataError

NAMES = {"Alpha": ["a", "b"], "Beta": ["a", "c", "d"]}


def blocks() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 256, (len(names), 4, 6, 6), np.uint8) for name, names in NAMES.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    packed.write(tmp_path / "train.safetensors", blocks(), NAMES)
    return tmp_path / "train.safetensors"


def test_round_trip(path):
    split = packed.load(path)
    np.testing.assert_array_equal(split.images[..., 0].numpy(), np.concatenate(list(blocks().values())))
    assert split.images.dtype == torch.uint8
    assert split.alphabet.tolist() == [0, 0, 1, 1, 1]
    assert split.first.tolist() == [0, 2]
    assert split.size.tolist() == [2, 3]
    assert split.first.dtype == split.size.dtype == split.alphabet.dtype == torch.int64
    assert split.alphabet_names == ("Alpha", "Beta")
    assert split.class_names == ("Alpha/a", "Alpha/b", "Beta/a", "Beta/c", "Beta/d")
    assert split.largest == 3


def test_plain_safetensors(path):
    content = safetensors.numpy.load_file(path)
    assert {name: (value.dtype.name, value.shape) for name, value in content.items()} == {
        "images": ("uint8", (5, 4, 6, 6)),
        "alphabet": ("int64", (5,)),
    }


def test_colour(tmp_path):
    grey = blocks()
    images = {name: np.stack([block, block // 2, 255 - block], axis=-1) for name, block in grey.items()}
    packed.write(tmp_path / "train.safetensors", images, NAMES)
    assert safetensors.numpy.load_file(tmp_path / "train.safetensors")["images"].shape == (5, 4, 6, 6, 3)
    split = packed.load(tmp_path / "train.safetensors", rotations=True)
    assert split.images.shape == (20, 4, 6, 6, 3)
    np.testing.assert_array_equal(split.images[2].numpy(), np.rot90(images["Alpha"][0], 1, (1, 2)))


def test_equal_bytes(path, tmp_path):
    """safetensors itself writes metadata in an order that changes."""
    for number in range(8):
        packed.write(tmp_path / f"{number}", blocks(), NAMES)
        assert (tmp_path / f"{number}").read_bytes() == path.read_bytes()


def test_rotations(path):
    upright, turned = packed.load(path), packed.load(path, rotations=True)
    assert turned.size.tolist() == [8, 12]
    assert turned.first.tolist() == [0, 8]
    assert turned.alphabet.tolist() == [0] * 8 + [1] * 12
    assert turned.largest == 12
    assert len(set(turned.class_names)) == 20
    for index, name in enumerate(turned.class_names):
        base, _, degrees = name.partition("/rot")
        row = upright.class_names.index(base)
        expected = np.rot90(upright.images[row].numpy(), int(degrees or 0) // 90, (1, 2))
        np.testing.assert_array_equal(turned.images[index].numpy(), expected)
        assert turned.alphabet[index] == upright.alphabet[row]


def test_usable_alphabets(path):
    split = packed.load(path)
    assert split.usable_alphabets(2).tolist() == [0, 1]
    assert split.usable_alphabets(3).tolist() == [1]
    assert split.usable_alphabets(3) is split.usable_alphabets(3)
    with pytest.raises(ValueError, match="no alphabet has 4 classes; the largest has 3"):
        split.usable_alphabets(4)


IMAGES, ALPHABET = np.zeros((3, 4, 6, 6), np.uint8), np.array([0, 0, 1])
META = {"alphabets": ["A", "B"], "characters": ["A/a", "A/b", "B/a"]}


@pytest.mark.parametrize(
    ("tensors", "metadata", "match"),
    [
        (
            {"images": IMAGES.astype(np.float32), "alphabet": ALPHABET},
            META,
            r"images is torch.float32 .*expected uint8",
        ),
        ({"images": IMAGES[0], "alphabet": ALPHABET}, META, "expected uint8"),
        ({"images": IMAGES[:, :, :5], "alphabet": ALPHABET}, META, "expected uint8"),
        ({"images": IMAGES[:0], "alphabet": ALPHABET[:0]}, META, "expected uint8"),
        ({"images": IMAGES, "alphabet": ALPHABET.astype(np.int32)}, META, r"expected int64 \[3\]"),
        ({"images": IMAGES, "alphabet": ALPHABET[:2]}, META, r"expected int64 \[3\]"),
        ({"images": IMAGES}, META, "its tensors are"),
        ({"images": IMAGES, "alphabet": ALPHABET}, None, "metadata 'alphabets' is missing"),
        (
            {"images": IMAGES, "alphabet": ALPHABET},
            {**META, "characters": META["characters"][:2]},
            "2 names: expected 3",
        ),
        ({"images": IMAGES, "alphabet": ALPHABET}, {**META, "alphabets": "AB"}, "not a list of names"),
        ({"images": IMAGES, "alphabet": ALPHABET}, {**META, "alphabets": ["A", "B", "C"]}, r"does not count 0..2"),
        ({"images": IMAGES, "alphabet": ALPHABET[::-1].copy()}, META, "does not count"),
        ({"images": IMAGES, "alphabet": np.array([0, 2, 1])}, META, "does not count"),
    ],
)
def test_wrong_file(tmp_path, tensors, metadata, match):
    path = tmp_path / "test.safetensors"
    path.write_bytes(
        safetensors.numpy.save(tensors, metadata and {key: json.dumps(value) for key, value in metadata.items()})
    )
    with pytest.raises(DataError, match=match) as caught:
        packed.load(path)
    assert str(path) in str(caught.value)
    assert "run `python -m megan prepare`" in str(caught.value)


def test_missing_truncated_and_foreign(path, tmp_path):
    with pytest.raises(DataError, match="does not exist; run `python -m megan prepare`"):
        packed.load(tmp_path / "other.safetensors")
    whole = path.read_bytes()
    for content in (b"", b"\x80\x04K\x01.", whole[:-1], whole[: len(whole) // 2], b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            packed.load(path)
