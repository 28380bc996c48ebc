"""Stage `prepare`: the files it writes, and that a failure leaves none."""

import json

import jobs
import numpy as np
import pytest

from megan.config import paths
from megan.config.params import ParamsError
from megan.data import catalogue, glyphs, packed
from megan.data.scripts import SCRIPTS
from megan.data.sets import glyphs as glyph_set
from megan.data.sets import omniglot
from megan.errors import DataError
from megan.runs import storage


@pytest.fixture
def raw(here, tiny, data, monkeypatch):
    monkeypatch.setenv("MEGAN_MIRROR", str(tiny))
    jobs.download("study", data)
    return paths.raw("study")


def load(name: str) -> packed.Split:
    return packed.load(paths.split("study", name))


def test_alphabet_protocol(raw, data, tasks):
    jobs.prepare("study", data, tasks)
    splits = catalogue.split("study", data, tasks)
    images, digests = omniglot.read(raw)
    assert {path.name for path in paths.prepared("study").iterdir()} == {
        "train.safetensors", "validation.safetensors", "test.safetensors", "splits.json",
    }  # fmt: skip
    for name, chosen in splits.items():
        split = load(name)
        assert split.alphabet_names == tuple(chosen)
        assert split.class_names == tuple(
            f"{one}/{character}" for one, characters in chosen.items() for character in characters
        )
        np.testing.assert_array_equal(split.images[..., 0].numpy(), np.concatenate([images[one] for one in chosen]))
    record = json.loads((paths.prepared("study") / "splits.json").read_text())
    assert record["sources"] == digests
    assert record["protocol"] == "alphabet"
    assert {name: one["alphabets"] for name, one in record["splits"].items()} == splits
    assert record["splits"]["test"]["character_count"] == 8


def test_standard_protocol(raw, data, tasks):
    data = data.model_copy(
        update={"protocol": "standard", "validation_alphabets": 0, "train_characters": 12, "validation_characters": 4}
    )
    jobs.prepare("study", data, tasks.model_copy(update={"scope": "any"}))
    images, _ = omniglot.read(raw)
    names = []
    for name, size in (("train", 8), ("validation", 4), ("test", 5)):
        split = load(name)
        assert len(split.images) == size
        for image, label in zip(split.images.numpy(), split.class_names, strict=True):
            alphabet, _, character = label.partition("/character")
            np.testing.assert_array_equal(image[..., 0], images[alphabet][int(character) - 1])
        names += split.class_names
    assert len(set(names)) == 17


@pytest.mark.parametrize("held", [0, 4])
def test_file_order_with_and_without_validation(raw, data, tasks, held):
    options = {"protocol": "file_order", "validation_alphabets": 0, "train_characters": 12}
    options |= {"validation_characters": held, "train_on_validation": held > 0}
    jobs.prepare("study", data.model_copy(update=options), tasks.model_copy(update={"scope": "any"}))
    images, _ = omniglot.read(raw)
    expected = [
        (f"{alphabet}/{character}", images[alphabet][row])
        for part in ("background", "evaluation")
        for alphabet in sorted(omniglot.alphabets()[part])
        for row, character in enumerate(omniglot.alphabets()[part][alphabet])
    ]
    files = {"train": expected[:12], "test": expected[12:]} | ({"validation": expected[8:12]} if held else {})
    assert {path.stem for path in paths.prepared("study").glob("*.safetensors")} == set(files)
    for name, rows in files.items():
        split = load(name)
        assert list(split.class_names) == [label for label, _ in rows]
        np.testing.assert_array_equal(split.images[..., 0].numpy(), np.stack([drawings for _, drawings in rows]))


def test_repeats(raw, data, tasks):
    jobs.prepare("study", data, tasks)
    before = {path.name: storage.digest_file(path) for path in paths.prepared("study").iterdir()}
    jobs.prepare("study", data, tasks)
    assert before == {path.name: storage.digest_file(path) for path in paths.prepared("study").iterdir()}


def test_glyphs(here, data, tasks, monkeypatch):
    chosen = ("Ogham", "Hebrew", "NKo", "Lisu")
    for module in (glyphs, glyph_set):
        monkeypatch.setattr(module, "SCRIPTS", {name: SCRIPTS[name] for name in chosen})
    data = data.model_copy(update={"dataset": "glyphs"})
    jobs.download("study", data)
    jobs.prepare("study", data, tasks)
    found = {name: load(name).alphabet_names for name in catalogue.SPLITS}
    assert found["test"] == ("Hebrew", "Ogham")
    assert sorted(found["train"] + found["validation"]) == ["Lisu", "NKo"]
    assert load("test").class_names[0] == "Hebrew/U+05D0"


def test_impossible_split_is_refused_before_reading(here, data, tasks):
    with pytest.raises(ParamsError, match="validation_alphabets"):
        jobs.prepare("study", data.model_copy(update={"validation_alphabets": 30}), tasks)


def test_failure_leaves_nothing(raw, data, tasks):
    (raw / "images_evaluation.zip").write_bytes(b"")
    with pytest.raises(DataError, match="empty"):
        jobs.prepare("study", data, tasks)
    assert not paths.prepared("study").exists()


def test_without_download(here, data, tasks):
    for dataset in ("glyphs", "omniglot"):
        with pytest.raises(DataError):
            jobs.prepare("study", data.model_copy(update={"dataset": dataset}), tasks.model_copy(update={"ways": 5}))
