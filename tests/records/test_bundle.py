"""Archives between machines: what goes in comes out, within the size, and nothing else is taken."""

import json
import random
import zipfile
from pathlib import Path

import pytest

from megan.records import bundle
from megan.records.bundle import BundleError
from megan.errors import MeganError

LIMIT = 64 * 1024


@pytest.fixture
def groups(tmp_path) -> dict[str, dict[str, Path]]:
    """A file of three archives' size, one of zeros, an empty one, and a small group."""
    noise = random.Random(0)
    contents = {
        "one": {"a/large": noise.randbytes(3 * LIMIT), "a/zeros": bytes(2 * LIMIT), "a/empty": b""},
        "two": {"b": noise.randbytes(1000)},
    }
    made: dict[str, dict[str, Path]] = {}
    for group, files in contents.items():
        for name, content in files.items():
            path = tmp_path / "from" / group / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            made.setdefault(group, {})[name] = path
    return made


def written(groups: dict[str, dict[str, Path]]) -> dict[str, dict[str, bytes]]:
    return {group: {name: path.read_bytes() for name, path in files.items()} for group, files in groups.items()}


def altered(path: Path, name: str, content: bytes | None) -> None:
    """Write the archive anew with another content of one member, or without it."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[name] = content
    with zipfile.ZipFile(path, "w") as archive:
        for member, held in members.items():
            if held is not None:
                archive.writestr(member, held)


def test_round_trip_within_the_size(groups, tmp_path):
    archives, done = bundle.pack(tmp_path / "out", "results", groups, {"why": "a test"}, LIMIT)
    assert done == ["one", "two"]
    assert 4 <= len(archives) <= 6 and all(path.stat().st_size <= LIMIT for path in archives)
    brought = bundle.read([tmp_path / "out"])
    assert brought.groups == written(groups)
    assert brought.notes == [{"why": "a test"}] * len(archives)
    assert bundle.read(archives[::-1]).groups == brought.groups


def test_no_more_archives_than_asked_for(groups, tmp_path):
    """Whole groups only; one that can never fit is an error and no silent omission."""
    first, done = bundle.pack(tmp_path / "out", "x", {"two": groups["two"], "one": groups["one"]}, {}, LIMIT, most=2)
    assert (len(first), done) == (1, ["two"])
    assert bundle.read(first).groups.keys() == {"two"}
    with pytest.raises(BundleError, match=r"^one has 0\.3 MiB: more than 2 archives of 0\.0625 MiB hold"):
        bundle.pack(tmp_path / "out", "x", groups, {}, LIMIT, most=2)


def test_missing_part(groups, tmp_path):
    archives, _ = bundle.pack(tmp_path / "out", "x", groups, {}, LIMIT)
    archives[1].unlink()
    with pytest.raises(BundleError, match=r"one: a/large has [\d,]+ of 196,608 bytes; bring all archives"):
        bundle.read([tmp_path / "out"])


def test_changed_part(groups, tmp_path):
    (path, *_), _ = bundle.pack(tmp_path / "out", "x", groups, {}, LIMIT)
    with zipfile.ZipFile(path) as archive:
        content = archive.read("part-00001")
    altered(path, "part-00001", bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(BundleError, match="part-00001 of a/large is not what the index describes"):
        bundle.read([tmp_path / "out"])


@pytest.mark.parametrize("name", ["/etc/passwd", "../b", "a/../../b", "C:/b", "a\\b", "a//b", "a\nb"])
def test_unsafe_file_name(groups, tmp_path, name):
    (path,), _ = bundle.pack(tmp_path / "out", "x", {"two": groups["two"]}, {}, LIMIT)
    with zipfile.ZipFile(path) as archive:
        index = json.loads(archive.read("index.json"))
    index["groups"]["two"][name] = index["groups"]["two"].pop("b")
    index["parts"]["part-00000"]["file"] = name
    altered(path, "index.json", json.dumps(index).encode())
    with pytest.raises(BundleError, match="unsafe name"):
        bundle.read([path])


@pytest.mark.parametrize("member", ["../part-00000", "/part-00000"])
def test_unsafe_member_name(groups, tmp_path, member):
    (path,), _ = bundle.pack(tmp_path / "out", "x", {"two": groups["two"]}, {}, LIMIT)
    altered(path, member, b"x")
    with pytest.raises(MeganError, match="unsafe name"):
        bundle.read([path])


def test_link(groups, tmp_path):
    (path,), _ = bundle.pack(tmp_path / "out", "x", {"two": groups["two"]}, {}, LIMIT)
    link = zipfile.ZipInfo("part-00001")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(MeganError, match="is a link or a device"):
        bundle.read([path])


@pytest.mark.parametrize(
    "index",
    [b"[]", b"{}", b"\xff", b'{"format": 2}', b'{"format": 1, "note": {}, "groups": {}, "parts": {}}', b'{"format": 1, "note": {"pieces": 3}, "groups": [], "parts": []}'],
)  # fmt: skip
def test_no_index_of_ours(groups, tmp_path, index):
    (path,), _ = bundle.pack(tmp_path / "out", "x", {"two": groups["two"]}, {}, LIMIT)
    altered(path, "index.json", index)
    with pytest.raises(BundleError, match="is no archive of ours"):
        bundle.read([path])


def test_two_of_one_name_that_differ(groups, tmp_path):
    bundle.pack(tmp_path / "out", "x", {"two": groups["two"]}, {}, LIMIT)
    groups["two"]["b"].write_bytes(b"another")
    bundle.pack(tmp_path / "out", "y", {"two": groups["two"]}, {}, LIMIT)
    with pytest.raises(BundleError, match="two is another one than in the archives before it"):
        bundle.read([tmp_path / "out"])


def test_nothing_there(tmp_path):
    with pytest.raises(BundleError, match="holds no archive"):
        bundle.read([tmp_path])
