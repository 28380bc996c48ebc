"""Reading Omniglot: a tiny one always, the real one where `MEGAN_MIRROR` holds it."""

import os
from pathlib import Path

import numpy as np
import pytest

from megan.data.sets import omniglot
from megan.errors import DataError

from .conftest import TINY, images, pack, png


@pytest.fixture
def raw(tiny: Path) -> Path:
    return tiny / "omniglot"


def test_shapes_and_order(raw):
    found, digests = omniglot.read(raw)
    assert {name: block.shape for name, block in found.items()} == {
        name: (count, 20, 28, 28) for part in TINY.values() for name, count in part.items()
    }
    assert all(block.dtype == np.uint8 for block in found.values())
    assert set(digests) == set(omniglot.ARCHIVES.values())
    # Alphabet, character and drawing are where the name says.
    content = images("background")["images_background/Gamma/character03/0003_07.png"]
    np.testing.assert_array_equal(found["Gamma"][2, 6], omniglot.shrink(content, ""))


def test_ink_is_white_and_antialiased():
    small = omniglot.shrink(png(1), "")
    assert small.shape == (28, 28)
    assert small.dtype == np.uint8
    assert np.median(small) == 0
    assert small.max() > 200
    # A cross with 4 of 105 pixels covers 7.5 % of the picture, and antialiasing does not change that.
    assert small.mean() / 255 == pytest.approx(2 * 4 / 105, rel=0.1)
    assert len(np.unique(small)) > 3


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"GIF89a", "not a valid PNG"),
        (png(1)[:60], "not a valid PNG"),
        (png(1, side=50), "50x50 pixels: expected 105x105"),
    ],
)
def test_wrong_picture(content, match):
    with pytest.raises(DataError, match=match):
        omniglot.shrink(content, "here")


def test_wrong_counts(raw, monkeypatch):
    changed = {**TINY, "background": {"Alpha": 2, "Beta": 3, "Gamma": 4}}
    monkeypatch.setattr(omniglot, "COUNTS", changed)
    with pytest.raises(DataError, match=r"Beta/character03 has 0 drawings: expected 20"):
        omniglot.read(raw)


def test_missing_archive(raw):
    (raw / "images_evaluation.zip").unlink()
    with pytest.raises(DataError, match=r"images_evaluation.zip does not exist"):
        omniglot.read(raw)


def test_other_layout(raw):
    members = {
        name.replace("images_background/", "omniglot/"): content for name, content in images("background").items()
    }
    pack(raw / "images_background.zip", members)
    with pytest.raises(DataError, match="changed images"):
        omniglot.read(raw)


def test_published_counts():
    parts = omniglot.alphabets()
    assert {part: (len(chosen), sum(map(len, chosen.values()))) for part, chosen in parts.items()} == {
        "background": (30, 964),
        "evaluation": (20, 659),
    }
    assert list(parts["background"]) == sorted(parts["background"])


@pytest.fixture
def real() -> Path:
    mirror = os.environ.get("MEGAN_MIRROR", "")
    folder = Path(mirror) / "omniglot"
    if not mirror or not all((folder / name).is_file() for name in omniglot.ARCHIVES.values()):
        pytest.skip("MEGAN_MIRROR names no folder with omniglot/images_background.zip and images_evaluation.zip")
    return folder


def test_real_omniglot(real):
    found, _ = omniglot.read(real)
    assert sum(len(block) for block in found.values()) == 1623
    every = np.concatenate(list(found.values()))
    assert every.shape == (1623, 20, 28, 28)
    assert 0.07 < every.mean() / 255 < 0.1
    # No drawing is blank.
    assert every.max((2, 3)).min() > 100
    assert every.shape[1] == omniglot.DRAWERS
