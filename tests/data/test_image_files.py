"""Decoding images of unknown origin, and finding them in folders and archives."""

import io
import tarfile

import numpy as np
import pytest
from pictures import SUFFIXES, draw, encoded
from PIL import Image

from megan.data import image_files, near_identical, tar_archives
from megan.errors import DataError

from .conftest import pack

LEVELS = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


@pytest.mark.parametrize("form", SUFFIXES.values())
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind(form, channels):
    found = image_files.decode(encoded(draw(3, 1), form), "x", 16, channels)
    expected = draw(3, 1).convert("L" if channels == 1 else "RGB").resize((16, 16), Image.Resampling.LANCZOS)
    assert found.dtype == np.uint8 and found.shape == ((16, 16) if channels == 1 else (16, 16, 3))
    assert np.abs(found.astype(int) - np.asarray(expected)).mean() < 6  # JPEG and GIF lose a little


def test_right_size_is_left_as_it_is():
    np.testing.assert_array_equal(image_files.decode(encoded(Image.fromarray(LEVELS), "PNG"), "x", 8, 1), LEVELS)


def test_sixteen_bits_are_reduced():
    deep = Image.fromarray(LEVELS.astype(np.uint16) * 257)
    np.testing.assert_array_equal(image_files.decode(encoded(deep, "PNG"), "x", 8, 1), LEVELS)
    with pytest.raises(DataError, match="x is no image that Pillow reads: its levels are floating point"):
        image_files.decode(encoded(Image.fromarray(LEVELS.astype(np.float32)), "TIFF"), "x", 8, 1)
    with pytest.raises(DataError, match="need more than 16 bits"):
        image_files.decode(encoded(Image.fromarray(LEVELS.astype(np.int32) << 20), "TIFF"), "x", 8, 1)


def test_transparent_is_white_and_photographs_stand_upright():
    clear = Image.new("RGBA", (8, 8), (9, 9, 9, 0))
    assert (image_files.decode(encoded(clear, "PNG"), "x", 8, 3) == 255).all()
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    Image.fromarray(LEVELS).save(buffer, format="PNG", exif=exif)
    np.testing.assert_array_equal(image_files.decode(buffer.getvalue(), "x", 8, 1), LEVELS[::-1, ::-1])


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04K\x01.", b"%!PS-Adobe-3.0 EPSF-3.0\n", encoded(draw(1), "PNG")[:99]]
)
def test_no_image(content):
    with pytest.raises(DataError, match=r"^here/x.png is ") as caught:
        image_files.decode(content, "here/x.png", 8, 3)
    assert "\n" not in str(caught.value)


def tar(path, members, mode="w:gz", **changes):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in changes.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))


MEMBERS = {"images/a.jpg": b"1", "./b.jpg": b"22", "images/notes.txt": b"3"}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar(tmp_path, mode):
    path = tmp_path / "x.tar"
    tar(path, MEMBERS, mode)
    found = dict(tar_archives.stream(path, image_files.LIMITS, lambda name: name.endswith(".jpg")))
    assert found == {"images/a.jpg": b"1", "./b.jpg": b"22"}
    whole = path.read_bytes()
    for content in (b"", b"<html>", whole[: 700 if mode == "w" else len(whole) // 3]):
        path.write_bytes(content)
        try:
            some = dict(tar_archives.stream(path, image_files.LIMITS, lambda name: True))
        except DataError as error:
            assert "is no sound tar archive" in str(error) and "\n" not in str(error)
        else:  # a plain tar may end anywhere between two members: counts tell
            assert set(some) < set(MEMBERS)


@pytest.mark.parametrize(
    ("members", "changes", "told"),
    [
        ({"../a": b""}, {}, "unsafe name"),
        ({"/a": b""}, {}, "unsafe name"),
        ({"a": b""}, {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is a link or a device"),
        ({"a": b"x" * 11}, {}, "expected at most 10"),
        ({"a": b"", "b": b"", "c": b""}, {}, "more than 2 members"),
    ],
)
def test_tar_of_unknown_origin(tmp_path, members, changes, told):
    tar(tmp_path / "x.tar", members, "w", **changes)
    limits = image_files.archives.Limits(archive_bytes=1 << 20, members=2, member_bytes=10, total_bytes=100)
    with pytest.raises(DataError, match=told):
        list(tar_archives.stream(tmp_path / "x.tar", limits, lambda name: True))


def test_below(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.png").write_bytes(b"a")
    (tmp_path / "._b.png").write_bytes(b"hidden")
    pack(tmp_path / "x.zip", {"images/b.png": b"b", "__MACOSX/._b.png": b""})
    tar(tmp_path / "x.tgz", {"images/c.png": b"c"})
    assert dict(image_files.below(tmp_path, lambda name: name != "._b.png")) == {
        "a.png": b"a", "b.png": b"b", "c.png": b"c",
    }  # fmt: skip


def test_near_identical_pairs_are_found_and_others_are_not():
    def images(*seeds):
        return np.stack([np.asarray(draw(3, one, size=(21, 21))) for one in seeds])[None]

    again = np.asarray(Image.open(io.BytesIO(encoded(draw(3, 7, size=(21, 21)), "JPEG", quality=98))))
    splits = {"train": {"a": images(*range(10))}, "test": {"b": images(*range(20, 30)).copy()}}
    splits["test"]["b"][0, 4] = again
    found = near_identical.across(splits, {"train": {"a": ["one"]}, "test": {"b": ["two"]}})
    assert found == [{"one": "train/one/7", "other": "test/two/4"}]
