"""Fetches one public file to `data/downloads`: verified, resumable, never incomplete.

HTTP uses `requests`. `pooch` is not suitable: it restarts a broken download from zero, and it
compares a digest of the archive, which would refuse a repacked archive of the same images.
"""

import os
import shutil
import sys
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests
import urllib3
from filelock import FileLock, Timeout
from tqdm import tqdm

from megan.config import paths
from megan.data.dataset import Source
from megan.errors import DataError
from megan.runs import storage

TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two reads
PAUSES = (1.0, 2.0, 4.0)  # seconds before each further attempt
SLOWEST = 512  # bytes per second, the lowest allowed average after GRACE
GRACE = 60.0  # seconds
WAIT = 3600.0  # seconds to wait for another process that fetches the same file
BLOCK = 1 << 16


class _Broken(Exception):
    """An attempt failed, but another attempt may succeed."""


def target(source: Source) -> Path:
    return paths.DOWNLOADS / source.name


def fetch(source: Source, mirror: str | None) -> Path:
    """Return the verified file. Fetch it only if it does not exist yet.

    **Arguments** `mirror`: a folder or a base address that replaces the public source.
    **Raises** `DataError` with the reason. A wrong or incomplete file never gets the final name,
    and a wrong `.part` file is deleted.
    """
    path = target(source)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _only_process(path):
        problem = ""
        if path.exists():
            try:
                source.verify(path)
                return path
            except DataError as error:  # kept until a correct file replaces it, as it may be the user's
                problem = f"; also, {error}"
        try:
            if mirror and "://" not in mirror:
                _copy(source, Path(mirror), path)
            else:
                _download(source, _address(source, mirror), path)
        except DataError as error:
            raise DataError(f"{error}{problem}") from None
        _part(path).unlink(missing_ok=True)  # of an earlier attempt with another mirror, if any
    return path


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _only_process(path: Path) -> FileLock:
    """A lock for studies that fetch the same data set at once. The second waits and then finds the file."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=WAIT)
    try:
        lock.acquire(timeout=0.1)
        lock.release()
    except Timeout:
        print(f"waiting for another process that fetches {path}", file=sys.stderr)
    return lock


def _address(source: Source, mirror: str | None) -> str:
    if not mirror:
        return source.address
    try:
        address = urlsplit(mirror)
        right = address.scheme in ("http", "https") and bool(address.hostname)
    except ValueError:  # brackets without an IPv6 address
        right = False
    if not right:
        raise DataError(f"MEGAN_MIRROR = {_shown(mirror)!r}: expected a folder, or an address with http:// or https://")
    return f"{mirror.rstrip('/')}/{quote(source.name)}"


def _shown(address: str) -> str:
    """The address without a password or token."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address.rpartition("@")[2]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _copy(source: Source, mirror: Path, path: Path) -> None:
    origin = mirror / source.name
    if not mirror.is_dir():
        raise DataError(f"MEGAN_MIRROR = {str(mirror)!r}: no such folder")
    if not origin.is_file():
        raise DataError(f"MEGAN_MIRROR = {str(mirror)!r}: {source.name} is not in it")
    if origin.stat().st_size > source.largest:
        raise DataError(
            f"{origin} has {origin.stat().st_size:,} bytes: expected at most {source.largest:,};"
            " this is a different file"
        )
    source.verify(origin)  # also here, so that the message names the file of the mirror
    with storage.replacing(path) as temporary:
        shutil.copyfile(origin, temporary)
        source.verify(temporary)


def _download(source: Source, address: str, path: Path) -> None:
    part = _part(path)
    resumed = part.exists()
    _complete(source, address, part)
    try:
        source.verify(part)
    except DataError as error:
        part.unlink(missing_ok=True)
        if not resumed:
            raise DataError(
                f"{_shown(address)} does not deliver the right file: {str(error).replace(str(part), 'it')}"
            ) from None
        # The beginning is of an earlier run and may be of another file.
        return _download(source, address, path)
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    os.replace(part, path)


def _complete(source: Source, address: str, part: Path) -> None:
    """Download `part` to the length that the server declares, with as many attempts as `PAUSES` allows."""
    for attempt in range(len(PAUSES) + 1):
        try:
            return _attempt(source, address, part)
        except (_Broken, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            reason = _reason(error)
            if attempt == len(PAUSES) or isinstance(
                error, (requests.exceptions.InvalidURL, requests.exceptions.TooManyRedirects)
            ):
                break
            print(f"{_shown(address)}: {reason}; trying again", file=sys.stderr)
            time.sleep(PAUSES[attempt])
    raise DataError(f"{_shown(address)} could not be fetched: {reason}")


def _attempt(source: Source, address: str, part: Path) -> None:
    offset = part.stat().st_size if part.exists() else 0
    if offset > source.largest:
        part.unlink()
        offset = 0
    # No transfer compression: offsets count the file's own bytes.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    with requests.Session() as session, session.get(address, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416 and offset:
            if response.headers.get("Content-Range", "").rpartition("/")[2] == str(offset):
                return  # the file was already complete; it is verified next
            part.unlink()
            raise _Broken("the server does not have the requested range of the file")
        if response.status_code == 429 or response.status_code >= 500:
            raise _Broken(f"the server answers {response.status_code} {response.reason}")
        if response.status_code not in (200, 206):
            raise DataError(
                f"{_shown(address)} could not be fetched: the server answers {response.status_code} {response.reason}"
            )
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise DataError(
                f"{_shown(address)} does not deliver the right file:"
                " it is a web page, for example of a proxy, a login or an error"
            )
        if response.status_code == 206:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                part.unlink(missing_ok=True)
                raise _Broken("the server sends another range than requested")
        else:
            offset = 0
        _receive(source, address, response, part, offset)


def _receive(source: Source, address: str, response: requests.Response, part: Path, offset: int) -> None:
    declared = response.headers.get("Content-Length", "")
    whole = offset + int(declared) if declared.isdecimal() else None
    received, began = offset, time.monotonic()
    # disable=None: show the bar on a terminal, not in log files.
    with (
        open(part, "ab" if offset else "wb") as file,
        tqdm(desc=source.name, total=whole, initial=offset, unit="B", unit_scale=True, disable=None) as bar,
    ):
        # read1 returns what has arrived, so that the check of speed below also runs for very slow data.
        while block := response.raw.read1(BLOCK):
            file.write(block)
            bar.update(len(block))
            received += len(block)
            if received > source.largest:
                break
            elapsed = time.monotonic() - began
            if elapsed > GRACE and (received - offset) / elapsed < SLOWEST:
                raise _Broken(f"the server sends fewer than {SLOWEST} bytes per second")
    if received > source.largest:
        part.unlink()
        raise DataError(
            f"{_shown(address)} does not deliver the right file:"
            f" it has more than {source.largest:,} bytes, the expected maximum"
        )
    if whole is not None and received < whole:
        raise _Broken(f"the connection ended after {received:,} of {whole:,} bytes")


def _reason(error: Exception) -> str:
    if isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)) or "timed out" in str(error):
        return f"the server did not answer for {TIMEOUT[1]:g} s"
    if "resolve" in str(error):
        return "its name cannot be resolved; this machine may have no network"
    if isinstance(error, requests.exceptions.ConnectionError) and "refused" in str(error):
        return "the connection is refused"
    return " ".join(str(error).split())[:160]
