"""A tiny Omniglot and a web server on the loopback that misbehaves on demand."""

import functools
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from megan.config import params
from megan.data import archives
from megan.data.sets import omniglot

TINY = {"background": {"Alpha": 3, "Beta": 2, "Gamma": 4}, "evaluation": {"Delta": 3, "Epsilon": 5}}


def png(*seed: int, side: int = 105) -> bytes:
    """A black cross on white, somewhere."""
    y, x = np.random.default_rng(seed).integers(10, side - 10, 2)
    image = np.full((side, side), 255, np.uint8)
    image[y - 2 : y + 2, :] = image[:, x - 2 : x + 2] = 0
    buffer = io.BytesIO()
    Image.fromarray(image).convert("1").save(buffer, format="PNG")
    return buffer.getvalue()


@functools.cache
def images(part: str) -> dict[str, bytes]:
    return {
        f"images_{part}/{alphabet}/character{number:02d}/{number:04d}_{drawer:02d}.png": png(
            *alphabet.encode(), number, drawer
        )
        for alphabet, count in TINY[part].items()
        for number in range(1, count + 1)
        for drawer in range(1, 21)
    }


def pack(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory without a mirror."""
    monkeypatch.delenv("MEGAN_MIRROR", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror folder with a tiny Omniglot, which the constants are made to expect."""
    monkeypatch.setattr(omniglot, "COUNTS", TINY)
    monkeypatch.setattr(omniglot, "DIGESTS", {part: archives.digest(images(part)) for part in TINY})
    for part, name in omniglot.ARCHIVES.items():
        pack(tmp_path / "mirror" / "omniglot" / name, images(part))
    return tmp_path / "mirror"


@pytest.fixture
def data() -> params.Data:
    return params.Data(
        dataset="omniglot",
        folder="",
        side=28,
        channels=1,
        protocol="alphabet",
        split_seed=0,
        validation_alphabets=1,
        train_characters=0,
        validation_characters=0,
        train_on_validation=False,
        rotations=False,
    )


@pytest.fixture
def tasks() -> params.Tasks:
    return params.Tasks(ways=2, shots=1, train_queries=1, test_queries=1, scope="alphabet")


class Server(ThreadingHTTPServer):
    """Serves `folder`; `behave`, where set, may answer a request itself and return True."""

    daemon_threads = True
    folder: Path
    behave: Callable[[BaseHTTPRequestHandler], bool] | None = None
    requests: list[tuple[str, str | None]]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """A client that goes away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        if self.server.behave and self.server.behave(self):
            return
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if wanted and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The tiny mirror over HTTP."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server(("127.0.0.1", 0), _Handler)
    running.folder, running.requests = tiny, []
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()
