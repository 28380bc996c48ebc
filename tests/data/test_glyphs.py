"""The embedded data set: what it holds, that it repeats, and that nothing in it stands twice."""

import json
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from megan.data import glyphs
from megan.data.scripts import SCRIPTS, expand
from megan.errors import DataError
from megan.runs import storage

ALL = [(name, character) for name, script in SCRIPTS.items() for character in expand(script.candidates)]


@pytest.fixture(scope="module")
def strokes() -> np.ndarray:
    return glyphs.thin(glyphs.outlines([character for _, character in ALL]))


@pytest.fixture(scope="module")
def apart(strokes: np.ndarray) -> np.ndarray:
    return glyphs.separation(strokes)


@pytest.fixture(scope="module")
def hebrew() -> np.ndarray:
    return glyphs.draw(SCRIPTS["Hebrew"].characters)


def test_font_has_every_character():
    table = TTFont(glyphs.font_path()).getBestCmap()
    missing = [character for _, character in ALL if ord(character) not in table]
    assert not missing
    assert len({character for _, character in ALL}) == len(ALL)


def test_structure():
    sizes = {name: len(script.characters) for name, script in SCRIPTS.items()}
    assert len(sizes) == 17
    assert min(sizes.values()) >= 15
    assert sum(sizes.values()) == 594
    parts = [script.part for script in SCRIPTS.values()]
    assert (parts.count("background"), parts.count("evaluation")) == (10, 7)


def test_listed_near_duplicates_are_those_of_the_rule(apart):
    """With a margin of a twentieth of a pixel: another release of FreeType may shift an outline so far."""
    listed = {(name, character) for name, script in SCRIPTS.items() for character in expand(script.near_duplicates)}
    assert listed < set(ALL)
    kept = [index for index, one in enumerate(ALL) if one not in listed]
    among = apart[np.ix_(kept, kept)]
    np.fill_diagonal(among, np.inf)
    assert among.min() >= glyphs.NEAR - 0.05
    for index, one in enumerate(ALL):
        if one in listed:
            assert apart[index, [other for other in kept if other < index]].min() < glyphs.NEAR + 0.05


def test_capital_a_stands_once():
    """Latin A, Greek Alpha, Cyrillic A and Lisu A look the same."""
    kept = {character for script in SCRIPTS.values() for character in script.characters}
    assert len({"A", "\u0391", "\u0410", "\ua4ee"} & kept) <= 1


def test_separation(strokes, apart):
    np.testing.assert_array_equal(apart, apart.T)
    assert apart.diagonal().max() == 0
    # By hand, for one pair: the farthest of any point to the nearest point of the other.
    first, second = (np.argwhere(strokes[index]) for index in (30, 40))
    between = np.linalg.norm(first[:, None] - second[None], axis=-1)
    assert apart[30, 40] == pytest.approx(glyphs.UNIT * max(between.min(0).max(), between.min(1).max()), rel=1e-5)


def test_thinned_strokes(strokes):
    outlines = glyphs.outlines([character for _, character in ALL])
    assert not (strokes & ~outlines).any()
    # As many parts as before, and no two-by-two block, which would be a thick stroke.
    eight = np.ones((3, 3))
    for shape, stroke in zip(outlines[::20], strokes[::20], strict=True):
        assert ndimage.label(shape, eight)[1] == ndimage.label(stroke, eight)[1]
    assert strokes.sum() < 0.25 * outlines.sum()
    thick = strokes[:, 1:, 1:] & strokes[:, 1:, :-1] & strokes[:, :-1, 1:] & strokes[:, :-1, :-1]
    assert thick.sum() < 0.001 * strokes.sum()


@settings(max_examples=30, deadline=None)
@given(arrays.arrays(bool, (2, 12, 12)))
def test_thinning_keeps_every_part(images):
    images = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    before = images.copy()
    thinned = glyphs.thin(images)
    np.testing.assert_array_equal(images, before)
    for shape, stroke in zip(images, thinned, strict=True):
        parts, count = ndimage.label(shape, np.ones((3, 3)))
        assert set(parts[stroke]) | {0} == set(range(count + 1)) | {0}


def test_drawings(hebrew):
    assert hebrew.shape == (len(SCRIPTS["Hebrew"].characters), 20, 28, 28)
    assert hebrew.dtype == np.uint8
    ink = hebrew.mean((2, 3)) / 255
    assert ink.min() > 0.01
    assert ink.max() < 0.25
    assert (hebrew.max((2, 3)) > 150).all()
    # No two drawings are the same.
    assert len(np.unique(hebrew.reshape(-1, 28 * 28), axis=0)) == hebrew.shape[0] * 20


def test_nothing_is_cut_off(hebrew):
    border = np.concatenate([hebrew[..., 0, :], hebrew[..., -1, :], hebrew[..., :, 0], hebrew[..., :, -1]], -1)
    assert (border > 128).mean() < 0.002


def test_drawings_repeat_and_do_not_depend_on_company(hebrew):
    characters = SCRIPTS["Hebrew"].characters
    np.testing.assert_array_equal(glyphs.draw(characters[5:3:-1]), hebrew[5:3:-1])


def test_a_drawer_bends_each_character_otherwise(hebrew):
    """Drawers are the last key: what drawer 3 does to one character does not tell what it does to another."""
    centre = (hebrew * np.arange(28)).sum((2, 3)) / hebrew.sum((2, 3))
    relative = centre - centre.mean(1, keepdims=True)
    assert abs(np.corrcoef(relative)[np.triu_indices(len(relative), 1)].mean()) < 0.1


def test_manifest_is_checked(tmp_path: Path):
    with pytest.raises(DataError, match="python -m megan download"):
        glyphs.read(tmp_path)
    storage.write_json(tmp_path / "glyphs.json", {**glyphs.manifest(), "fonts": {glyphs.FONT: "0" * 64}})
    with pytest.raises(DataError, match="another font"):
        glyphs.read(tmp_path)
    (tmp_path / "glyphs.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        glyphs.read(tmp_path)


def test_read(tmp_path: Path, monkeypatch, hebrew):
    monkeypatch.setattr(glyphs, "SCRIPTS", {"Hebrew": SCRIPTS["Hebrew"]})
    storage.write_json(tmp_path / "glyphs.json", glyphs.manifest())
    images, digests = glyphs.read(tmp_path)
    np.testing.assert_array_equal(images["Hebrew"], hebrew)
    assert json.loads((tmp_path / "glyphs.json").read_text())["fonts"] == digests


def test_font_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(glyphs.matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(DataError, match="DejaVuSans.ttf does not exist"):
        glyphs.manifest()
