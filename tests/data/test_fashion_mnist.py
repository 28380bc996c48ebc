"""Reading Fashion-MNIST: damaged and foreign files always, the real one where `MEGAN_MIRROR` holds it."""

import dataclasses
import functools
import gzip
import hashlib
import os
import struct
from pathlib import Path

import jobs
import numpy as np
import pytest

from megan.config import paths
from megan.data.sets import fashion_mnist
from megan.errors import DataError

COUNTS = {"train": 30, "test": 20}  # of the tiny set: ten classes, all alike


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def tiny_part(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images whose grey level is ten times their label."""
    labels = np.random.default_rng(len(part)).permutation(np.arange(COUNTS[part], dtype=np.uint8) % 10)
    return np.broadcast_to(10 * labels[:, None, None], (len(labels), 28, 28)), labels


@pytest.fixture
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror folder with a tiny Fashion-MNIST, which the constants are made to expect."""
    files = {}
    for part, expected in fashion_mnist.FILES.items():
        contents = [idx(np.ascontiguousarray(values)) for values in tiny_part(part)]
        files[part] = tuple(
            dataclasses.replace(file, shape=(COUNTS[part], *file.shape[1:]), digest=hashlib.sha256(content).hexdigest())
            for file, content in zip(expected, contents, strict=True)
        )
        for file, content in zip(expected, contents, strict=True):
            path = tmp_path / "mirror" / "fashion-mnist" / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(content))
    monkeypatch.setattr(fashion_mnist, "FILES", files)
    expected = [file for both in files.values() for file in both]
    sources = [
        dataclasses.replace(source, verify=functools.partial(fashion_mnist._verify, expected=file))
        for source, file in zip(fashion_mnist.SOURCES, expected, strict=True)
    ]
    monkeypatch.setattr(fashion_mnist, "DATA_SET", dataclasses.replace(fashion_mnist.DATA_SET, sources=tuple(sources)))
    return tmp_path / "mirror"


def test_classes_are_rows(fashion):
    found, digests = fashion_mnist.read(fashion / "fashion-mnist")
    assert {part: images.shape for part, images in found.items()} == {"train": (10, 3, 28, 28), "test": (10, 2, 28, 28)}
    assert all((images[label] == 10 * label).all() for images in found.values() for label in range(10))
    assert len(digests) == 4


def test_download_brings_both_data_sets(fashion, here, data, monkeypatch):
    monkeypatch.setenv("MEGAN_MIRROR", str(fashion))
    jobs.download("study", data.model_copy(update={"dataset": "glyphs"}), "fashion_mnist")
    names = {file.name for files in fashion_mnist.FILES.values() for file in files}
    assert {path.name for path in paths.raw("study").iterdir()} == names | {"glyphs.json"}
    fashion_mnist.read(paths.raw("study"))


def test_download_of_one_data_set_for_both_purposes(here, data):
    jobs.download("study", data.model_copy(update={"dataset": "glyphs"}), "glyphs")
    assert [path.name for path in paths.raw("study").iterdir()] == ["glyphs.json"]


def test_what_is_missing_is_named(fashion, here, data, monkeypatch):
    (fashion / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setenv("MEGAN_MIRROR", str(fashion))
    with pytest.raises(
        DataError, match="t10k-labels-idx1-ubyte.gz is not in it.*data/downloads/fashion-mnist/"
    ) as caught:
        jobs.download("study", data.model_copy(update={"dataset": "glyphs"}), "fashion_mnist")
    assert "\n" not in str(caught.value)
    assert not paths.raw("study").exists()


VALUES = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
EXPECTED = fashion_mnist.Idx("some.gz", (3, 2, 2), hashlib.sha256(idx(VALUES)).hexdigest())
SOUND = gzip.compress(idx(VALUES))


def test_unpacked_values(tmp_path):
    (tmp_path / "some.gz").write_bytes(gzip.compress(idx(VALUES), compresslevel=1))
    np.testing.assert_array_equal(fashion_mnist.unpack(tmp_path / "some.gz", EXPECTED), VALUES)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "begins with ''"),
        (b"<html>sorry</html>", "not a valid gzip file"),
        (SOUND[:-12], "not a valid gzip file"),
        (SOUND[:-8] + bytes(4) + SOUND[-4:], "not a valid gzip file: CRC"),
        (gzip.compress(b"\x80\x04pickled"), "begins with '80047069"),
        (gzip.compress(idx(VALUES.reshape(2, 3, 2))), "begins with .*: expected .*shape"),
        (gzip.compress(idx(VALUES[:, 0])), "begins with"),
        (gzip.compress(b"\0\0\x0d" + idx(VALUES)[3:]), "begins with '00000d03"),
        (gzip.compress(idx(VALUES)[:-1]), "unpacks to 27 bytes: expected 28"),
        (gzip.compress(idx(VALUES) + b"more"), "unpacks to more than 28 bytes"),
        (gzip.compress(idx(VALUES + 1)), "changed values"),
    ],
    ids=[
        "empty",
        "web page",
        "cut short",
        "checksum",
        "pickle",
        "other shape",
        "other rank",
        "other type",
        "short",
        "long",
        "changed",
    ],
)
def test_wrong_file(tmp_path, content, match):
    path = tmp_path / "some.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=match) as caught:
        fashion_mnist.unpack(path, EXPECTED)
    assert "\n" not in str(caught.value) and "fetch some.gz again" in str(caught.value)


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "some.gz"
    path.write_bytes(gzip.compress(idx(VALUES) + bytes(50 << 20)))
    read = gzip.GzipFile.read
    asked = []
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: asked.append(size) or read(self, size))
    with pytest.raises(DataError, match="more than 28"):
        fashion_mnist.unpack(path, EXPECTED)
    assert asked == [29]


def test_too_large_a_file_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "PACKED_BYTES", 10)
    (tmp_path / "some.gz").write_bytes(SOUND)
    with pytest.raises(DataError, match="expected at most 10"):
        fashion_mnist.unpack(tmp_path / "some.gz", EXPECTED)


def test_public_addresses():
    base = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
    names = [file.name for files in fashion_mnist.FILES.values() for file in files]
    assert [source.address for source in fashion_mnist.SOURCES] == [base + name for name in names]


def test_the_real_one():
    mirror = Path(os.environ.get("MEGAN_MIRROR") or "nowhere") / "fashion-mnist"
    if not mirror.is_dir():
        pytest.skip("MEGAN_MIRROR is no folder with fashion-mnist in it")
    found, _ = fashion_mnist.read(mirror)
    assert found["train"].shape == (10, 6000, 28, 28) and found["test"].shape == (10, 1000, 28, 28)
    ink = found["train"].mean(axis=(1, 2, 3))
    assert ink.argmin() == fashion_mnist.CLASSES.index("Sandal"), "sandals are the sparsest of the ten"
    left, right = found["test"][7, :, 14:, :14].mean(), found["test"][1, :, 14:, :14].mean()
    assert left > right, "a sneaker fills the lower half more than trousers do"
