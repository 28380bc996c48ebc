"""A folder of yours as a data set: any kind of image, both layouts, and every wrong folder refused by name."""

import json

import jobs
import numpy as np
import pytest
from pictures import draw, encoded, write_class, write_folder
from PIL import Image

from megan.config import params, paths
from megan.config.params import ParamsError
from megan.data import catalogue, packed
from megan.data.sets import folder as own
from megan.errors import DataError


@pytest.fixture
def data(data, here):
    change = {"dataset": "folder", "protocol": "parts", "validation_alphabets": 0, "folder": "photographs", "side": 24}
    return data.model_copy(update={**change, "channels": 3})


@pytest.fixture
def photographs(here):
    return write_folder(here / "photographs", classes=8, images=7)


def prepared(data, tasks):
    jobs.download("study", data, "glyphs")
    jobs.prepare("study", data, tasks)
    return {name: packed.load(paths.split("study", name)) for name in catalogue.SPLITS}


def record():
    return json.loads((paths.prepared("study") / "splits.json").read_text())


def test_a_folder_is_divided_by_class(photographs, data, tasks):
    found = prepared(data, tasks)
    assert {name: split.images.shape for name, split in found.items()} == {
        "train": (4, 7, 24, 24, 3),
        "validation": (2, 7, 24, 24, 3),
        "test": (2, 7, 24, 24, 3),
    }
    names = [name for split in found.values() for name in split.class_names]
    assert sorted(names) == [f"all/kind {number:02d}" for number in range(8)]
    assert record()["title"] == "own images" and not record()["ink"]
    # The rule depends on names and seed alone: other images leave it, another seed does not.
    splits = catalogue.split("study", data, tasks)
    assert splits == catalogue.split("study", data, tasks)
    assert any(
        splits != catalogue.split("study", data.model_copy(update={"split_seed": n}), tasks) for n in range(1, 5)
    )


def test_own_parts(here, data, tasks):
    for number, part in enumerate(("train", "validation", "test")):
        write_folder(here / "sets" / part, 3, 5)
        for path in sorted((here / "sets" / part).iterdir()):
            path.rename(path.with_name(f"{path.name} of {number}"))
    found = prepared(data.model_copy(update={"folder": "sets"}), tasks)
    assert found["validation"].class_names == tuple(f"validation/kind {number:02d} of 1" for number in range(3))
    alike = record()["near_identical"]  # the same pictures were drawn for every part
    assert len(alike) == 45 and alike[0] == {"one": "train/kind 00 of 0/0", "other": "validation/kind 00 of 1/0"}


def test_grey(photographs, data, tasks):
    found = prepared(data.model_copy(update={"channels": 1}), tasks)["train"]
    assert found.images.shape == (4, 7, 24, 24, 1)


def test_uneven_classes_give_as_many_as_the_smallest(photographs, data, tasks, capsys):
    write_class(photographs / "big", 9, 12)
    assert prepared(data, tasks)["train"].images.shape[1] == 7
    assert "classes have 7 to 12 images; 7 of each are taken, as many as kind 00 has" in capsys.readouterr().err
    assert own.fewest(data) == 7


def test_pixels_are_those_of_the_file(here, data, tasks):
    for number in range(6):
        (here / "photographs" / str(number)).mkdir(parents=True)
        for index in range(2):
            picture = draw(number, index, size=(24, 24))
            picture.save(here / "photographs" / str(number) / f"{index}.png")
    found = prepared(data, tasks)
    for split in found.values():
        for images, name in zip(split.images.numpy(), split.class_names, strict=True):
            number = int(name.removeprefix("all/"))
            expected = {np.asarray(draw(number, index, size=(24, 24))).tobytes() for index in range(2)}
            assert {image.tobytes() for image in images} == expected


def test_too_few_classes(photographs, data, tasks):
    told = (
        r"tasks.ways = 3: photographs has 8 classes, and meta-training, validation and meta-test need 3 each, 9 in all"
    )
    with pytest.raises(ParamsError, match=told):
        catalogue.split("study", data, tasks.model_copy(update={"ways": 3}))


def study(data, **tasks):
    whole = params.load(jobs.ROOT / "params.yaml")
    quick = whole.studies["quick"]
    asked = quick.tasks.model_copy(update={"ways": 2, "train_queries": 1, "test_queries": 6, **tasks})
    return quick.model_copy(update={"data": data, "tasks": asked})


def test_too_few_images(photographs, data):
    told = "shots 1 [+] test_queries 15 needs 16 images of a class, and folder has 7 of one; lower test_queries, or add"
    catalogue.check("own", study(data), {})
    with pytest.raises(ParamsError, match=told):
        catalogue.check("own", study(data, test_queries=15), {})
    with pytest.raises(ParamsError, match=r"encoder.validation_drawers = 4: expected fewer than the 4 images"):
        for path in (photographs / "kind 03").glob("picture [456].*"):
            path.unlink()
        catalogue.check("own", study(data, test_queries=3), {})


def test_a_folder_that_is_not_here_stops_only_stages_that_read_it(data, tasks):
    catalogue.check("own", study(data), {})
    with pytest.raises(DataError, match="data.folder = 'photographs': expected a folder"):
        jobs.download("study", data, "glyphs")


def test_a_variant_that_needs_more_classes_is_refused_when_asked_for(photographs, data):
    variants = params.load(jobs.ROOT / "params.yaml", study="text").variants
    others = {name: variant for name, variant in variants.items() if variant.fake_source != "alphabet"}
    catalogue.check("own", study(data), others)
    with pytest.raises(ParamsError, match="variants.control_alphabet.fake_source = 'alphabet': its tasks need twice"):
        catalogue.check("own", study(data), {"control_alphabet": variants["control_alphabet"]})


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "notes.txt").write_text(""), "notes.txt is a file: expected folders alone"),
        (lambda folder: (folder / "kind 00" / "notes.txt").write_text(""), "notes.txt: expected image files alone"),
        (lambda folder: (folder / "kind 00" / "all.pkl").write_bytes(b""), "all.pkl is a pickle.* can run any code"),
        (lambda folder: (folder / "kind 00" / "deeper").mkdir(), "deeper: expected image files alone"),
        (lambda folder: (folder / "empty").mkdir(), "empty is empty: expected the images of a class"),
        (
            lambda folder: (folder / "train").mkdir(),
            "has a folder train: expected train, validation, test and no other",
        ),
        (lambda folder: (folder / "kind 01" / "picture 1.gif").write_bytes(b""), "picture 1.gif is empty"),
        (lambda folder: (folder / "kind 01" / "a.jpg").write_bytes(b"GIF?" * 9), "a.jpg is no image that Pillow reads"),
    ],
)
def test_wrong_folders(photographs, data, tasks, spoil, told):
    spoil(photographs)
    with pytest.raises(DataError, match=told) as caught:
        prepared(data, tasks)
    assert "\n" not in str(caught.value)
    assert not paths.prepared("study").exists()


def test_what_file_managers_leave_is_skipped(photographs, data, tasks):
    for name in (".DS_Store", "kind 00/Thumbs.db", "kind 01/._picture 0.png"):
        (photographs / name).write_bytes(b"\0")
    assert prepared(data, tasks)["train"].images.shape == (4, 7, 24, 24, 3)


def test_a_change_after_the_download_is_noticed(photographs, data, tasks):
    jobs.download("study", data, "glyphs")
    (photographs / "kind 02" / "picture 0.bmp").write_bytes(encoded(Image.new("RGB", (9, 9)), "BMP"))
    with pytest.raises(DataError, match="picture 0.bmp is new or has changed; run `python -m megan download`"):
        jobs.prepare("study", data, tasks)
    (paths.raw("study") / "folder.json").write_text("[]")
    with pytest.raises(DataError, match="folder.json cannot be read"):
        jobs.prepare("study", data, tasks)
