"""Hostile and damaged zip archives."""

import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megan.data import archives
from megan.errors import DataError

LIMITS = archives.Limits(archive_bytes=100_000, members=5, member_bytes=10_000, total_bytes=15_000, ratio=50)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.zip"


def pack(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)


def refused(path: Path, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        archives.read(path, LIMITS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_members_come_sorted_and_filtered(path):
    pack(path, ("b/two.png", b"2"), ("a/", b""), ("a/one.png", b"1"), ("a/readme", b"0"))
    assert list(archives.read(path, LIMITS).items()) == [("a/one.png", b"1"), ("a/readme", b"0"), ("b/two.png", b"2")]
    assert list(archives.read(path, LIMITS, lambda name: name.endswith(".png"))) == ["a/one.png", "b/two.png"]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../up",
        "a/../../up",
        "a//b",
        "./a",
        "C:/windows",
        "a\\..\\b",
        "a\nb",
        "a\x00b",
        "\x1b[2J",
        "a/./b",
    ],
)
def test_unsafe_name(path, name):
    pack(path, ("good", b"1"))
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo("x" * len(name))
        archive.writestr(member, b"2")
    content = path.read_bytes().replace(b"x" * len(name), name.encode())  # in both headers, as an attacker would
    path.write_bytes(content)
    refused(path, "unsafe name|not a valid zip")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_link_or_device(path, kind):
    member = zipfile.ZipInfo("link")
    member.create_system, member.external_attr = 3, (kind | 0o777) << 16
    pack(path, (member, b"/etc/passwd"))
    refused(path, "link or a device")


def test_encrypted(path):
    pack(path, ("one", b"1"))
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused(path, "encrypted")


def test_twice(path):
    with pytest.warns(UserWarning, match="Duplicate"):
        pack(path, ("one", b"1"), ("one", b"2"))
    refused(path, "appears twice")


def test_too_many_members(path):
    pack(path, *((str(number), b"1") for number in range(6)))
    refused(path, "6 members: expected at most 5")


def test_bomb(path):
    pack(path, ("zeros", bytes(9_000)))
    refused(path, "50 times its packed size")


def test_large_member_and_total(path):
    pack(path, ("large", bytes(10_001)), compression=zipfile.ZIP_STORED)
    refused(path, "at most 10,000 bytes")
    pack(path, ("one", bytes(8_000)), ("two", bytes(8_000)), compression=zipfile.ZIP_STORED)
    refused(path, "more than the expected 15,000 bytes")


def test_declared_size_is_a_lie(path):
    """A member that unpacks to more than it declares is cut at that size, so its checksum fails."""
    content = bytes(range(256)) * 30
    pack(path, ("one", content))
    changed = path.read_bytes().replace(struct.pack("<L", len(content)), struct.pack("<L", 100))
    path.write_bytes(changed)
    refused(path, "not a valid zip")


def test_large_archive(path):
    path.write_bytes(bytes(100_001))
    refused(path, "different file")


def test_bad_checksum(path):
    pack(path, ("one", b"some content"), compression=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"some", b"same", 1))
    refused(path, "CRC")


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "empty"), (b"<html>", "web page"), (b"\x1f\x8b\x08", "begins with"), (b"PK\x05\x06", "not a valid zip")],
)
def test_no_archive(path, content, match):
    path.write_bytes(content)
    refused(path, match)


def test_missing_and_folder(path, tmp_path):
    refused(path, "does not exist")
    refused(tmp_path, "not a valid zip")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_damage_is_a_data_error_or_harmless(path, place, value, cut):
    """Whichever byte changes, the result is the right contents or a `DataError`, never another exception."""
    members = {"a/one.png": b"first content", "b/two.png": b"second content" * 5}
    pack(path, *members.items())
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content[: len(content) - cut % 3])
    try:
        found = archives.read(path, LIMITS)
    except DataError:
        return
    assert set(found.values()) <= set(members.values())


def test_digest_knows_names_and_bounds():
    base = {"a": b"12", "b": b"3"}
    assert archives.digest(base) == archives.digest(dict(reversed(base.items())))
    others = [
        {"a": b"1", "b": b"23"},
        {"a": b"12", "c": b"3"},
        {"a": b"12"},
        {"a1": b"2", "b": b"3"},
        {"a": b"12", "b": b"4"},
    ]
    assert len({archives.digest(one) for one in [base, *others]}) == 6
