"""Downloads from a server that fails in every usual way: one line, and no bad file that counts as good."""

import dataclasses
import json
import shutil
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jobs
import pytest

from megan.config import names, params, paths
from megan.data import dataset, fetch, glyphs
from megan.data.sets import omniglot
from megan.errors import DataError
from megan.runs import storage

NAME = "images_background.zip"
DOWNLOADS = paths.DOWNLOADS / "omniglot"


@pytest.fixture(autouse=True)
def _quick(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(fetch, "TIMEOUT", (2.0, 0.5))


def refused(data: params.Data, *fragments: str) -> str:
    """Run the stage, which must fail with one line that holds the fragments and advice."""
    with pytest.raises(DataError) as caught:
        jobs.download("study", data)
    message = str(caught.value)
    for fragment in (*fragments, f"put them into {DOWNLOADS}/", "MEGAN_MIRROR", "omniglot/images_evaluation.zip"):
        assert fragment in message
    assert "\n" not in message
    assert not paths.raw("study").exists()
    assert not list(Path("data/raw").glob(".*"))
    return message


def left() -> list[str]:
    return sorted(path.name for path in DOWNLOADS.iterdir() if not path.name.endswith(".lock"))


def answer(handler, status=200, body=b"", kind="application/zip", length=None) -> bool:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)
    return True


def test_folder_mirror(tiny, data, monkeypatch):
    monkeypatch.setenv("MEGAN_MIRROR", str(tiny))
    jobs.download("study", data)
    for folder in (DOWNLOADS, paths.raw("study")):
        assert {path.name for path in folder.glob("*.zip")} == set(omniglot.ARCHIVES.values())
    assert left() == sorted(omniglot.ARCHIVES.values())


def test_http_mirror_then_no_network(server, data, monkeypatch):
    monkeypatch.setenv("MEGAN_MIRROR", server.address + "/")
    jobs.download("study", data)
    assert [path for path, _ in server.requests] == [f"/omniglot/{name}" for name in omniglot.ARCHIVES.values()]
    jobs.download("other", data)
    assert len(server.requests) == 2
    assert paths.raw("other").joinpath(NAME).read_bytes() == (server.folder / "omniglot" / NAME).read_bytes()


def test_public_address_without_network(tiny, data, monkeypatch):
    # Port 9 of the loopback refuses connections, as a machine without network sees at once.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sources = tuple(
        dataset.Source(one.name, "http://127.0.0.1:9/" + one.name, one.largest, one.verify) for one in omniglot.SOURCES
    )
    monkeypatch.setattr(omniglot, "DATA_SET", dataclasses.replace(omniglot.DATA_SET, sources=sources))
    refused(data, "http://127.0.0.1:9/omniglot/images_background.zip", "refused")
    assert left() == []


def test_public_addresses():
    assert [source.address for source in omniglot.SOURCES] == [
        "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/images_background.zip",
        "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/images_evaluation.zip",
    ]


def test_not_found(server, data, monkeypatch):
    monkeypatch.setenv("MEGAN_MIRROR", server.address + "/elsewhere")
    refused(data, "404", "/elsewhere/omniglot/images_background.zip")
    assert len(server.requests) == 1  # another attempt would not help
    assert left() == []


def test_server_error_is_tried_again(server, data, monkeypatch):
    server.behave = lambda handler: len(server.requests) < 3 and answer(handler, 503)
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    jobs.download("study", data)
    assert len(server.requests) == 4


def test_two_studies_at_once_fetch_once(server, data, monkeypatch):
    server.behave = lambda handler: time.sleep(0.3)  # type: ignore[func-returns-value]
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(jobs.download, study, data) for study in ("one", "two")]:
            done.result()
    assert len(server.requests) == 2
    assert (paths.raw("one") / NAME).read_bytes() == (paths.raw("two") / NAME).read_bytes()


def test_server_error_ends(server, data, monkeypatch):
    server.behave = lambda handler: answer(handler, 500)
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    refused(data, "500")
    assert len(server.requests) == 3


def test_hang_before_the_answer(server, data, monkeypatch):
    server.behave = lambda handler: time.sleep(1.5) or True
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    refused(data, "did not answer")


def test_hang_in_the_middle(server, data, monkeypatch):
    def stall(handler) -> bool:
        answer(handler, body=b"PK", length=10_000)
        time.sleep(1.5)
        return True

    server.behave = stall
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    refused(data, "did not answer")
    assert left() in ([], [NAME + ".part"])


def test_trickle(server, data, monkeypatch):
    def drip(handler) -> bool:
        answer(handler, body=b"PK", length=10_000)
        for _ in range(30):
            handler.wfile.write(b"x")
            time.sleep(0.05)
        return True

    monkeypatch.setattr(fetch, "GRACE", 0.3)
    monkeypatch.setattr(fetch, "PAUSES", ())
    server.behave = drip
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    refused(data, "bytes per second")


def test_resume_within_a_run(server, data, monkeypatch):
    whole = (server.folder / "omniglot" / NAME).read_bytes()

    def half(handler) -> bool:
        if len(server.requests) > 1:
            return False
        answer(handler, body=whole[: len(whole) // 2], length=len(whole))
        handler.close_connection = True
        return True

    server.behave = half
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    jobs.download("study", data)
    assert server.requests[1] == (f"/omniglot/{NAME}", f"bytes={len(whole) // 2}-")
    assert (DOWNLOADS / NAME).read_bytes() == whole


def partial(content: bytes) -> None:
    DOWNLOADS.mkdir(parents=True)
    (DOWNLOADS / f"{NAME}.part").write_bytes(content)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_resume_of_an_earlier_run(server, data, monkeypatch, share):
    whole = (server.folder / "omniglot" / NAME).read_bytes()
    partial(whole[: int(share * len(whole))])
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    jobs.download("study", data)
    assert server.requests[0][1] == f"bytes={int(share * len(whole))}-"
    assert len(server.requests) == 2
    assert (DOWNLOADS / NAME).read_bytes() == whole


def test_resume_of_a_wrong_part(server, data, monkeypatch):
    """A part of another file is thrown away and the download starts anew."""
    partial(b"something else")
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    jobs.download("study", data)
    assert [wanted for _, wanted in server.requests] == ["bytes=14-", None, None]
    assert left() == sorted(omniglot.ARCHIVES.values())


def test_part_longer_than_the_file(server, data, monkeypatch):
    whole = (server.folder / "omniglot" / NAME).read_bytes()
    partial(whole + b"more")
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    jobs.download("study", data)
    assert (DOWNLOADS / NAME).read_bytes() == whole


def test_server_without_ranges(server, data, monkeypatch):
    whole = (server.folder / "omniglot" / NAME).read_bytes()
    partial(whole[:100])
    server.behave = lambda handler: NAME in handler.path and answer(handler, body=whole)
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    jobs.download("study", data)
    assert (DOWNLOADS / NAME).read_bytes() == whole


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/zip"])
def test_web_page(server, data, monkeypatch, kind):
    server.behave = lambda handler: answer(handler, body=b"\n<!DOCTYPE html><p>Log in</p>", kind=kind)
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    refused(data, "web page")
    assert left() == []


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        (lambda whole: b"", "empty"),
        (lambda whole: whole[: len(whole) // 2], "not a valid zip"),
        (lambda whole: b"\x1f\x8b\x08 a tarball", "begins with"),
    ],
    ids=["empty", "truncated", "other kind"],
)
def test_wrong_bytes(server, data, monkeypatch, change, fragment):
    path = server.folder / "omniglot" / NAME
    path.write_bytes(change(path.read_bytes()))
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    refused(data, fragment, "does not deliver the right file")
    assert left() == []


def test_too_large(server, data, monkeypatch):
    sources = tuple(dataset.Source(one.name, one.address, 1000, one.verify) for one in omniglot.SOURCES)
    monkeypatch.setattr(omniglot, "DATA_SET", dataclasses.replace(omniglot.DATA_SET, sources=sources))
    monkeypatch.setenv("MEGAN_MIRROR", server.address)
    refused(data, "more than 1,000 bytes")
    assert left() == []


@pytest.mark.parametrize("kind", ["folder", "address"])
def test_flipped_bit(server, data, monkeypatch, kind):
    path = server.folder / "omniglot" / NAME
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    monkeypatch.setenv("MEGAN_MIRROR", str(server.folder) if kind == "folder" else server.address)
    refused(data)
    assert left() == []


def repack(path: Path, change) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("images_background/", b"")
        for name in reversed(members):
            archive.writestr(name, members[name])
        archive.writestr("__MACOSX/._x.png", b"what an operating system leaves behind")


def test_repacked_is_accepted(tiny, data, monkeypatch):
    before = storage.digest_file(tiny / "omniglot" / NAME)
    repack(tiny / "omniglot" / NAME, lambda members: None)
    assert storage.digest_file(tiny / "omniglot" / NAME) != before
    monkeypatch.setenv("MEGAN_MIRROR", str(tiny))
    jobs.download("study", data)


def _change(members):
    first, second, *_ = members
    members[first] = members[second]


def _rename(members):
    first = next(iter(members))
    members[first.replace("character01", "character99")] = members.pop(first)


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        (_change, "changed images"),
        (_rename, "changed images"),
        (lambda members: members.popitem(), "holds 179 images: expected 180"),
    ],
    ids=["content", "name", "missing"],
)
def test_changed_image_is_refused(tiny, data, monkeypatch, change, fragment):
    repack(tiny / "omniglot" / NAME, change)
    monkeypatch.setenv("MEGAN_MIRROR", str(tiny))
    refused(data, fragment)
    assert left() == []


def test_wrong_file_put_by_hand(tiny, data, monkeypatch):
    """It is kept but never used: a right file replaces it; without one the message names it."""
    DOWNLOADS.mkdir(parents=True)
    (DOWNLOADS / NAME).write_bytes(b"mine")
    monkeypatch.setenv("MEGAN_MIRROR", "nowhere")
    refused(data, "'nowhere': no such folder", f"{DOWNLOADS / NAME} is not a valid zip archive")
    assert (DOWNLOADS / NAME).read_bytes() == b"mine"
    monkeypatch.setenv("MEGAN_MIRROR", str(tiny))
    jobs.download("study", data)
    assert (DOWNLOADS / NAME).read_bytes() == (tiny / "omniglot" / NAME).read_bytes()


def test_right_files_put_by_hand(tiny, data):
    shutil.copytree(tiny / "omniglot", DOWNLOADS)
    jobs.download("study", data)


@pytest.mark.parametrize("mirror", ["ftp://127.0.0.1/x", "file:///x", "http://", "http://[::1", "http://:80"])
def test_mirror_of_another_kind(tiny, data, monkeypatch, mirror):
    monkeypatch.setenv("MEGAN_MIRROR", mirror)
    refused(data, "expected a folder, or an address with http")


def test_mirror_without_the_file(tiny, data, monkeypatch):
    (tiny / "omniglot" / NAME).unlink()
    monkeypatch.setenv("MEGAN_MIRROR", str(tiny))
    refused(data, "omniglot/images_background.zip is not in it")


def test_password_stays_out_of_the_message(server, data, monkeypatch):
    monkeypatch.setenv("MEGAN_MIRROR", server.address.replace("//", "//me:secret@") + "/elsewhere")
    assert "secret" not in refused(data, "404")


def test_failure_keeps_the_raw_folder_of_before(tiny, data, monkeypatch):
    monkeypatch.setenv("MEGAN_MIRROR", str(tiny))
    jobs.download("study", data)
    (DOWNLOADS / NAME).unlink()
    (tiny / "omniglot" / NAME).unlink()
    with pytest.raises(DataError):
        jobs.download("study", data)
    assert (paths.raw("study") / NAME).is_file()


def test_folder_that_cannot_be_written(tiny, data, monkeypatch):
    monkeypatch.setenv("MEGAN_MIRROR", str(tiny))
    Path("data").write_text("a file where a folder should be")
    with pytest.raises(
        storage.StorageError, match=r"data/raw/study cannot be written: Not a directory .* where a folder was expected"
    ):
        jobs.download("study", data)


def test_glyphs_need_no_network(data):
    jobs.download("study", data.model_copy(update={"dataset": "glyphs"}))
    content = json.loads((paths.raw("study") / "glyphs.json").read_text())
    assert content["fonts"] == {"DejaVuSans.ttf": storage.digest_file(glyphs.font_path())}
    assert not paths.DOWNLOADS.exists()


def test_every_data_set_has_a_source():
    for name in names.modules("data/sets"):
        found = dataset.load(name)
        assert found.title and bool(found.sources) != bool(found.manifest), name
        assert found.characters or found.by_class, name
