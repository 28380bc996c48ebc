"""Loads the library of a C++ source: one compiled beforehand, or else one compiled for this CPU at first use.

The compiler is `$CXX`, or the first of c++, g++ and clang++, or ziglang's. The library is kept in `machine.cache()`,
under a digest of the source, compiler, flags and CPU. If `$CXX` is set, libraries compiled beforehand are not used.
"""

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from megan.config import machine
from megan.ops import prebuilt

FLAGS = ("-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
ARCHITECTURES = (("-march=native",), ("-mcpu=native",), ())  # the first that the compiler accepts


class Unavailable(Exception):
    """The library cannot be built or loaded here; the message says why."""


def library(source_file: Path, *included: Path) -> ctypes.CDLL:
    """The library of `source_file`, which is compiled unless a wheel or the cache has it.

    **Arguments** `included`: files of the same folder that it includes.
    **Raises** `Unavailable`.
    """
    try:
        source = read(source_file, *included)
    except OSError as error:
        raise Unavailable(f"cannot read the kernels' source: {error}") from None
    found = None if os.environ.get("CXX") else prebuilt.library(source, source_file.stem)
    if found is not None:
        return found
    compiler, version = _compiler()
    parts = [source, version.encode(), repr((compiler, FLAGS, ARCHITECTURES)).encode(), _cpu().encode()]
    digest = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:20]
    path = machine.cache() / f"native-{digest}.so"
    if path.exists():
        with contextlib.suppress(OSError):  # a damaged file: compiled again
            return ctypes.CDLL(str(path))
    _compile(compiler, source_file, path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise Unavailable(f"the compiled kernels do not load: {error}") from None


def read(*sources: Path) -> bytes:
    """The content that a library is compiled from: the source file, then those that it includes."""
    return b"\0".join(path.read_bytes() for path in sources)


def _compiler() -> tuple[list[str], str]:
    """The compiler's command line, and the version that it prints."""
    named = os.environ.get("CXX")
    candidates = [named] if named else ["c++", "g++", "clang++", *_ziglang()]
    for candidate in candidates:
        try:
            command = shlex.split(candidate)
            where = shutil.which(command[0])
            if where is None:
                continue
            command[0] = where
            answer = subprocess.run(
                [*command, "--version"], capture_output=True, text=True, errors="replace", timeout=60
            )
        except (OSError, ValueError, IndexError, subprocess.SubprocessError):
            continue
        if answer.returncode == 0:
            return command, answer.stdout
    raise Unavailable(
        f"CXX = {named!r} is no C++ compiler that can be run"
        if named
        else "no C++ compiler (c++, g++ or clang++) on the PATH; pip install 'megan[compiler]' installs one"
    )


def _ziglang() -> list[str]:
    """The compiler that `megan[compiler]` installs, if it is there."""
    if importlib.util.find_spec("ziglang") is None:
        return []
    return [shlex.join([sys.executable, "-m", "ziglang", "c++"])]


def _compile(compiler: list[str], source_file: Path, path: Path) -> None:
    """Compile into a temporary file in the same folder, then rename it. Several processes may do so at once."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=path.stem, suffix=".tmp", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise Unavailable(f"cannot write compiled kernels to {path.parent}: {error.strerror or error}") from None
    try:
        message = ""
        for architecture in ARCHITECTURES:
            command = [*compiler, *FLAGS, *architecture, "-o", temporary, str(source_file)]
            try:
                answer = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=600)
            except (OSError, subprocess.SubprocessError) as error:
                raise Unavailable(f"the compiler does not run: {error}") from None
            if answer.returncode == 0:
                try:
                    os.chmod(temporary, 0o755)
                    os.replace(temporary, path)
                except OSError as error:
                    raise Unavailable(f"cannot write {path}: {error.strerror or error}") from None
                return
            message = message or answer.stderr.strip()
        raise Unavailable(f"{compiler[0]} cannot compile the kernels: {message[:2000]}")
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _cpu() -> str:
    """What -march=native depends on: code for one CPU may not run on another that shares the cache folder."""
    kept = (
        "vendor_id",
        "cpu family",
        "model",
        "model name",
        "stepping",
        "flags",
        "Features",
        "CPU implementer",
        "CPU part",
    )
    try:
        first = Path("/proc/cpuinfo").read_text(errors="replace").split("\n\n")[0]
        lines = [line for line in first.splitlines() if line.partition(":")[0].strip() in kept]
    except OSError:
        lines = [platform.processor()]
    return "\n".join([platform.system(), platform.machine(), *lines])
