"""mini-ImageNet in every form in which people hold it, and what is missing named."""

import os
from pathlib import Path

import jobs
import numpy as np
import pytest
from pictures import draw, encoded

from megan.config import paths
from megan.data import catalogue, image_files, packed
from megan.data.sets import mini_imagenet
from megan.errors import DataError

from .conftest import pack
from .test_image_files import tar

CLASSES = {"train": "n1 n2 n3", "validation": "n4 n5", "test": "n6 n7"}
COUNT = 3


def images() -> dict[str, bytes]:
    """Files of 84x84 pixels, but for one of another size."""
    found = {}
    for names in CLASSES.values():
        for name in names.split():
            for index in range(COUNT):
                size = (120, 90) if (name, index) == ("n2", 1) else (84, 84)
                found[f"{name}{index:08d}.jpg"] = encoded(draw(int(name[1:]), index, size=size), "JPEG")
    return found


def write_lists(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, list_name in mini_imagenet.LISTS.items():
        rows = [f"{name},{name[:2]}" for name in images() if name[:2] in CLASSES[part].split()]
        (folder / list_name).write_text("\n".join(["filename,label", *rows]) + "\n")


def as_files(folder: Path) -> None:
    for name, content in images().items():
        (folder / "images" / name).parent.mkdir(exist_ok=True)
        (folder / "images" / name).write_bytes(content)


def as_zip(folder: Path) -> None:
    pack(folder / "images.zip", {f"images/{name}": content for name, content in images().items()})


def as_tars(folder: Path) -> None:
    for part, names in CLASSES.items():
        own = {f"images/{name}": content for name, content in images().items() if name[:2] in names.split()}
        tar(folder / f"{part}.tar.gz", own)


@pytest.fixture
def data(data, here, monkeypatch):
    monkeypatch.setattr(mini_imagenet, "CLASSES", CLASSES)
    monkeypatch.setattr(mini_imagenet, "COUNT", COUNT)
    change = {"dataset": "mini_imagenet", "protocol": "parts", "validation_alphabets": 0, "side": 84, "channels": 3}
    return data.model_copy(update=change)


@pytest.fixture
def folder(tmp_path, data, monkeypatch):
    """Below a mirror, with lists but without images."""
    write_lists(tmp_path / "mirror" / "mini-imagenet")
    monkeypatch.setenv("MEGAN_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror" / "mini-imagenet"


def prepared(data, tasks):
    jobs.download("study", data, "glyphs")
    jobs.prepare("study", data, tasks)
    return {name: packed.load(paths.split("study", name)) for name in catalogue.SPLITS}


@pytest.mark.parametrize("form", [as_files, as_zip, as_tars])
def test_every_form_gives_the_same(folder, data, tasks, form):
    form(folder)
    found = prepared(data, tasks)
    contents = images()
    for name, split in found.items():
        assert split.class_names == tuple(f"{name}/{label}" for label in CLASSES[name].split())
        assert split.images.shape == (len(split.class_names), COUNT, 84, 84, 3)
        for row, label in enumerate(CLASSES[name].split()):
            for index in range(COUNT):
                expected = image_files.decode(contents[f"{label}{index:08d}.jpg"], "x", 84, 3)
                np.testing.assert_array_equal(split.images[row, index].numpy(), expected)


def test_a_folder_that_the_study_names(tmp_path, data, tasks):
    write_lists(tmp_path / "held")
    as_zip(tmp_path / "held")
    found = prepared(data.model_copy(update={"folder": str(tmp_path / "held"), "side": 32, "channels": 1}), tasks)
    assert found["train"].images.shape == (3, COUNT, 32, 32, 1)


def test_nothing_there(data, monkeypatch, here):
    with pytest.raises(DataError, match=r"train.csv is not in data/downloads/mini-imagenet. Expected .*MEGAN_MIRROR"):
        jobs.download("study", data, "glyphs")


def test_pickles_are_refused(data, here):
    held = here / "data/downloads/mini-imagenet"
    held.mkdir(parents=True)
    (held / "mini-imagenet-cache-train.pkl").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(
        DataError, match=r"cache-train.pkl is a pickle, and reading a pickle can run any code.*train.csv"
    ):
        jobs.download("study", data, "glyphs")


def test_missing_images_are_named(folder, data):
    as_files(folder)
    for name in ("n400000001.jpg", "n600000000.jpg", "n600000002.jpg"):
        (folder / "images" / name).unlink()
    told = r"lacks 3 of the 21 images that its lists name: 2 of n6, 1 of n4; the first is n400000001.jpg"
    with pytest.raises(DataError, match=told):
        jobs.download("study", data, "glyphs")


def test_images_that_do_not_decode_are_named(folder, data, tasks):
    as_files(folder)
    (folder / "images" / "n400000001.jpg").write_bytes(b"")
    (folder / "images" / "n400000002.jpg").write_bytes(images()["n400000002.jpg"][:300])
    jobs.download("study", data, "glyphs")
    with pytest.raises(DataError, match="2 images cannot be decoded; the first: n400000001.jpg is empty"):
        jobs.prepare("study", data, tasks)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("filename,label", "name,class", "has no two columns filename,label"),
        ("n100000000.jpg,n1\n", "", "train.csv names other images .* 2 of n1 [(]3[)]; expected the list that"),
        ("jpg,n1\n", "jpg,n9\n", "train.csv names other images .* 0 of n1 [(]3[)], 3 of n9 [(]0[)]"),
        ("n100000000.jpg", "n600000000.jpg", "name n600000000.jpg in two splits"),
    ],
)
def test_wrong_lists(folder, data, old, new, told):
    as_files(folder)
    path = folder / "train.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=told):
        jobs.download("study", data, "glyphs")


def test_a_change_after_the_download_is_noticed(folder, data, tasks):
    as_files(folder)
    jobs.download("study", data, "glyphs")
    (folder / "images" / "n100000001.jpg").write_bytes(images()["n100000002.jpg"])
    with pytest.raises(DataError, match="holds other images than it did; run `python -m megan download`"):
        jobs.prepare("study", data, tasks)


def test_the_published_split():
    sizes = {part: len(set(names.split())) for part, names in mini_imagenet.CLASSES.items()}
    assert sizes == {"train": 64, "validation": 16, "test": 20}
    assert len({name for names in mini_imagenet.CLASSES.values() for name in names.split()}) == 100


def test_real_lists():
    """Where the mirror holds them."""
    held = Path(os.environ.get("MEGAN_MIRROR", "nowhere")) / mini_imagenet.FOLDER
    if not held.is_dir():
        pytest.skip("MEGAN_MIRROR holds no mini-ImageNet")
    labels = mini_imagenet.listed(held)
    assert {part: len(names) for part, names in labels.items()} == {"train": 38400, "validation": 9600, "test": 12000}
