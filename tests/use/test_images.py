"""Images as a user gives them: arrays and files of any form become what `prepare` makes of a data set."""

import io

import jobs
import numpy as np
import pytest
import tiny
from pictures import write_folder
from PIL import Image
from tiny import some_task

from megan import FewShotClassifier
from megan.config import paths
from megan.config.params import Data
from megan.data.sets import folder, omniglot
from megan.use import images
from megan.use.images import Format, ImageError

N_PLUS_1 = paths.trained("quick", "n_plus_1")


def both(checkpoint, fitted_on, labels, asked, **options) -> np.ndarray:
    return FewShotClassifier(checkpoint, **options).fit(fitted_on, labels).predict_proba(asked)


@pytest.mark.parametrize("name", ["quick", "own"])
def test_forms_of_arrays(studies, name):
    support, labels, queries, _ = some_task(studies[name])
    checkpoint, count = paths.trained(name, "n_plus_1"), len(support)
    wanted = both(checkpoint, support, labels, queries)
    forms = {
        "channels": lambda given: given.reshape(*given.shape[:3], -1),
        "rows": lambda given: given.reshape(len(given), -1),
        "list": lambda given: given.tolist(),
        "whole": lambda given: given.astype(np.int64),
        "double": lambda given: given / 255,
        "not contiguous": lambda given: np.asfortranarray(given),
    }
    for form, made in forms.items():
        classifier = FewShotClassifier(checkpoint).fit(made(support), labels)
        assert classifier.n_features_in_ == support.size // count, form
        assert classifier.predict_proba(made(queries)) == pytest.approx(wanted, abs=1e-5), form
        assert classifier.predict_proba(queries) == pytest.approx(wanted, abs=1e-5), f"{form}, then another"


def test_paths_of_files(studies, tmp_path):
    """Dark ink on light paper is turned over, as the packed data set has it; photographs are not."""
    for name, ink, other in (("quick", True, "bright"), ("own", False, "dark")):
        support, labels, queries, _ = some_task(studies[name])
        checkpoint, files = paths.trained(name, "n_plus_1"), []
        for number, image in enumerate((*support, *queries)):
            files.append(tmp_path / f"{name}{number}.png")
            Image.fromarray(255 - image if ink else image).save(files[-1])
        fits, asked = files[: len(support)], files[len(support) :]
        wanted = both(checkpoint, support, labels, queries)
        for some in (list, lambda paths: [str(path) for path in paths], lambda paths: np.array(paths, dtype=str)):
            assert np.array_equal(both(checkpoint, some(fits), labels, some(asked)), wanted)
        for path in files:
            Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
        assert np.array_equal(both(checkpoint, fits, labels, asked, ink=other), wanted)


@pytest.mark.parametrize("channels", [1, 3])
def test_files_are_what_prepare_packs(tmp_path, monkeypatch, channels):
    """Of every kind, size and mode."""
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "mine", classes=2, images=8)
    data = Data(**tiny.DOCUMENT["studies"]["own"]["data"] | {"folder": "mine", "side": 20, "channels": channels})
    jobs.download("own", data, gan="glyphs")
    packed, _ = folder.read(paths.raw("own"), data)
    files = [path for one in sorted((tmp_path / "mine").iterdir()) for path in sorted(one.iterdir(), key=folder._order)]
    read = images.read(files, Format(20, channels, ink=False))
    assert read.shape == (16, 20, 20, channels)
    assert np.array_equal(read.reshape(packed["all"].shape), packed["all"])


def test_drawings_are_what_prepare_makes_of_omniglot(tmp_path):
    rng, encoded = np.random.default_rng(0), io.BytesIO()
    Image.fromarray(rng.random((105, 105)) < 0.9).save(encoded, format="PNG")
    (tmp_path / "a.png").write_bytes(encoded.getvalue())
    read = images.read([tmp_path / "a.png"], Format(28, 1, ink=True))
    assert np.array_equal(read[0, ..., 0], omniglot.shrink(encoded.getvalue(), "a.png")) and read.any()


@pytest.mark.parametrize(("given", "wanted"), [("L", 1), ("L", 3), ("RGB", 1), ("RGB", 3)])
def test_arrays_of_another_size_are_what_files_are(tmp_path, given, wanted):
    levels = np.random.default_rng(0).integers(0, 256, (2, 30, 41) + (3,) * (given == "RGB"), dtype=np.uint8)
    for number, one in enumerate(levels):
        Image.fromarray(one).save(tmp_path / f"{number}.png")
    form = Format(20, wanted, ink=False)
    read = images.read([tmp_path / "0.png", tmp_path / "1.png"], form)
    assert read.shape == (2, 20, 20, wanted)
    for array in (levels, levels.astype(int), levels / 255, levels[:, None][:, 0]):
        assert np.array_equal(images.shaped(array, form), read)


def test_transparent_paper_is_white(tmp_path):
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert not images.read([tmp_path / "a.png"], Format(4, 1, ink=True)).any()
    assert (images.read([tmp_path / "a.png"], Format(4, 3, ink=False)) == 255).all()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.zeros((8, 1, 28, 28), np.uint8), r"\[8, 1, 28, 28\]: expected \[images, .* 28 x 28 x 1 values"),
        (np.zeros((8, 27 * 28), np.uint8), r"784 features|shape \[8, 756\]: expected"),
        (np.full((8, 28, 28), 255.0), "from 0 to 255: expected whole .*, or floating ones from 0 to 1"),
        (np.full((8, 30, 30), -1), "from -1 to 0"),
        (["no/such/file.png"] * 8, "no/such/file.png does not exist"),
        ([__file__] * 8, "is no image that Pillow reads"),
    ],
)  # fmt: skip
def test_images_that_do_not_fit(studies, given, told):
    with pytest.raises(ImageError, match=told):
        FewShotClassifier(N_PLUS_1).fit(given, np.arange(8) % 2)
