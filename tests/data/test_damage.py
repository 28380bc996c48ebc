"""Archives and mirrors damaged at random.

The stage prints one line with the way out and leaves nothing that passes for good. Then the good mirror works.
"""

import io
import random
import stat
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import jobs
import pytest

from megan.config import paths
from megan.data import fetch
from megan.data.sets import omniglot
from megan.errors import DataError
from tests.data.conftest import images, png

NAMES = list(omniglot.ARCHIVES.values())
UNSAFE = [
    "/etc/cron.d/x.png",
    "../../x.png",
    "images_background/../../x.png",
    "C:\\x.png",
    "images_background\\..\\x.png",
    "./x.png",
    "a//x.png",
    "a/\x00.png",
    "\x1b]0;x\x07.png",
]
Damage = Callable[[random.Random, bytes, str], bytes]

pytestmark = pytest.mark.faults


def truncated(draws: random.Random, whole: bytes, part: str) -> bytes:
    return whole[: draws.randrange(len(whole))]


def flipped(draws: random.Random, whole: bytes, part: str) -> bytes:
    """Flip a bit of a member's contents; the directory at the end has bits that nothing reads, such as times."""
    content = bytearray(whole)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        member = draws.choice(archive.infolist())
        start = member.header_offset + 30 + len(member.filename)
        content[draws.randrange(start, start + member.compress_size)] ^= 1 << draws.randrange(8)
    return bytes(content)


def overwritten(draws: random.Random, whole: bytes, part: str) -> bytes:
    size = draws.randrange(40, 2000)
    at = draws.randrange(len(whole) - size)
    return whole[:at] + draws.randbytes(size) + whole[at + size :]


def another_file(draws: random.Random, whole: bytes, part: str) -> bytes:
    page = b"<!DOCTYPE html><title>Sign in</title>" + bytes(draws.randrange(1000))
    return draws.choice(
        [
            b"",
            page,
            b"\n\n  <html>",
            draws.randbytes(500),
            b"\x1f\x8b\x08" + bytes(50),
            b"\x80\x04cos\nsystem\n.",
            bytes(1000),
            b"PK\x05\x06" + bytes(18),
        ]
    )


def rebuilt(
    change: Callable[[random.Random, dict[str, bytes], str], list[tuple[str | zipfile.ZipInfo, bytes]]],
) -> Damage:
    """A sound zip of changed members."""

    def damage(draws: random.Random, whole: bytes, part: str) -> bytes:
        buffer = io.BytesIO()
        with pytest.MonkeyPatch.context() as patch, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            patch.setattr("warnings.warn", lambda *_, **__: None)  # of names given twice
            for name, content in change(draws, dict(images(part)), part):
                archive.writestr(name, content)
        return buffer.getvalue()

    damage.__name__ = change.__name__
    return damage


@rebuilt
def unsafe_name(draws, members, part):
    name = zipfile.ZipInfo("x")
    name.filename = name.orig_filename = draws.choice(UNSAFE)
    return [*members.items(), (name, png(1))]


@rebuilt
def link(draws, members, part):
    member = zipfile.ZipInfo(draws.choice(sorted(members)))
    del members[member.filename]
    member.create_system, member.external_attr = (
        3,
        (draws.choice([stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK]) | 0o777) << 16,
    )
    return [*members.items(), (member, b"/etc/passwd")]


@rebuilt
def bomb(draws, members, part):
    return [*members.items(), (draws.choice(["zeros", "images/x.png"]), bytes(draws.randrange(50_000, 3_000_000)))]


@rebuilt
def nested(draws, members, part):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return [(f"images_{part}.zip", inner.getvalue())]


@rebuilt
def twice(draws, members, part):
    return [*members.items(), (draws.choice(sorted(members)), png(draws.randrange(9)))]


@rebuilt
def wrong_count(draws, members, part):
    """One image fewer, one more, or one drawing moved to another character.

    In the last case the total is right, but not the number of each class.
    """
    name = draws.choice(sorted(members))
    kind = draws.randrange(3)
    content = members[name] if kind == 1 else members.pop(name)
    other = draws.choice(
        [one.rpartition("/")[0] for one in members if one.rpartition("/")[0] != name.rpartition("/")[0]]
    )
    return [*members.items(), *([(f"{other}/9999_21.png", content)] if kind else [])]


@rebuilt
def other_image(draws, members, part):
    one, other = draws.sample(sorted(members), 2)
    members[one], members[other] = members[other], members[one]
    return list(members.items())


@rebuilt
def other_part(draws, members, part):
    return list(images("evaluation" if part == "background" else "background").items())


DAMAGES: list[Damage] = [
    truncated, flipped, overwritten, another_file, unsafe_name, link, bomb, nested, twice, wrong_count, other_image,
    other_part,
]  # fmt: skip


def outside(folder: Path) -> set[Path]:
    """Everything around the working directory and the mirror, where nothing may ever appear."""
    return {
        path
        for path in folder.parent.rglob("*")
        if not path.is_relative_to(folder / "work") and not path.is_relative_to(folder / "mirror")
    }


def refused(data, monkeypatch, mirror: str) -> str:
    monkeypatch.setenv("MEGAN_MIRROR", mirror)
    with pytest.raises(DataError) as caught:
        jobs.download("study", data)
    message = str(caught.value)
    assert "\n" not in message and message.isprintable() and len(message) < 1500
    assert "MEGAN_MIRROR" in message and "put them into" in message and "run again" in message
    return message


def good_mirror_works(data, monkeypatch, tiny: Path) -> None:
    monkeypatch.setenv("MEGAN_MIRROR", str(tiny))
    jobs.download("study", data)
    for name in NAMES:
        assert (paths.raw("study") / name).read_bytes() == (tiny / "omniglot" / name).read_bytes()
    for folder in (paths.DOWNLOADS, paths.raw("study").parent):
        assert not [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".part"))]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_archive(here, tiny, server, data, monkeypatch, faults, record_property, tmp_path, damage):
    """The mirror is a folder and an address in turn. What was right is kept; what is wrong is not."""
    monkeypatch.setattr(fetch, "PAUSES", ())
    bad = tmp_path / "mirror" / "bad"
    before = outside(tmp_path)
    for trial in range(trials := faults(1, 8)):
        draws = random.Random(f"{damage.__name__} {trial}")
        part, name = draws.choice(list(omniglot.ARCHIVES.items()))
        for one in NAMES:
            whole = (tiny / "omniglot" / one).read_bytes()
            target = bad / "omniglot" / one
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(damage(draws, whole, part) if one == name else whole)
        mirror = str(bad) if trial % 2 else f"{server.address}/bad"
        message = refused(data, monkeypatch, mirror)
        assert name in message, "the message does not name the archive"
        assert not paths.raw("study").exists()
        assert not (paths.DOWNLOADS / "omniglot" / name).exists(), "a wrong archive is taken for good"
        assert outside(tmp_path) == before
        good_mirror_works(data, monkeypatch, tiny)
        for one in [*paths.DOWNLOADS.rglob("*.zip"), *paths.raw("study").rglob("*.zip")]:
            one.unlink()
        paths.raw("study").rmdir()
    record_property("trials", trials)


@pytest.mark.parametrize("kind", ["stops", "hangs", "lies about its length", "status", "another range"])
def test_broken_mirror(here, tiny, server, data, monkeypatch, faults, record_property, kind):
    """The server fails at a random place of the file at every request."""
    monkeypatch.setattr(fetch, "PAUSES", (0.0,))
    monkeypatch.setattr(fetch, "TIMEOUT", (2.0, 0.2))
    draws = random.Random(kind)

    def behave(handler) -> bool:
        whole = (tiny / handler.path.lstrip("/")).read_bytes()
        place = draws.randrange(len(whole))
        begin = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        if kind == "status":
            handler.send_error(draws.choice([204, 301, 400, 401, 403, 404, 410, 418, 429, 500, 503]))
            return True
        handler.send_response(206 if begin else 200)
        handler.send_header("Content-Type", "application/zip")
        if begin:
            start = draws.randrange(len(whole)) + begin + 1 if kind == "another range" else begin
            handler.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        rest = whole[begin:]
        handler.send_header("Content-Length", str(place // 2 if kind == "lies about its length" else len(rest)))
        handler.end_headers()
        handler.wfile.write(rest[: min(place // 2, len(rest) // 2)])
        if kind == "hangs":
            handler.wfile.flush()
            stop.wait(1)
        handler.close_connection = True
        return True

    stop = threading.Event()
    for trial in range(trials := faults(1, 6)):
        server.behave = behave
        message = refused(data, monkeypatch, server.address)
        assert NAMES[0] in message
        assert not paths.raw("study").exists() and not list(paths.DOWNLOADS.rglob("*.zip"))
        server.behave = None
        if trial % 2:  # the good mirror at once, or after the broken one is mended
            good_mirror_works(data, monkeypatch, tiny)
        else:
            monkeypatch.setenv("MEGAN_MIRROR", server.address)
            jobs.download("study", data)
            good_mirror_works(data, monkeypatch, tiny)
        for one in [*paths.DOWNLOADS.rglob("*.zip"), *paths.raw("study").rglob("*.zip")]:
            one.unlink()
        paths.raw("study").rmdir()
    stop.set()
    record_property("trials", trials)


def test_killed_download_leaves_nothing_that_passes(here, tiny, server, data, monkeypatch):
    """What a kill leaves of a file, complete or not, is verified before it is used."""
    folder = paths.DOWNLOADS / "omniglot"
    folder.mkdir(parents=True)
    for name in NAMES:
        whole = (tiny / "omniglot" / name).read_bytes()
        (folder / f"{name}.part").write_bytes(whole[:-50] + bytes(50))
        (folder / f".{name}.4194305.tmp").write_bytes(whole)
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    jobs.download("study", data)
    for name in NAMES:
        assert (paths.raw("study") / name).read_bytes() == (tiny / "omniglot" / name).read_bytes()


def test_nothing_from_outside_is_unpickled():
    """No module of the package reads a format that can carry code."""
    root = Path(omniglot.__file__).parents[2]
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for word in (
            "import pickle",
            "from pickle",
            "pickle.load",
            "torch.load(",
            "joblib",
            "marshal",
            "shelve",
            "yaml.unsafe_load",
            "yaml.full_load",
            "yaml.Loader",
            "allow_pickle=True",
            "read_pickle",
        ):
            safe = {"torch.load(": "weights_only=True", "import pickle": "except (pickle.UnpicklingError"}
            assert word not in text or safe.get(word, word) in text.replace(word, ""), f"{path} uses {word}"
