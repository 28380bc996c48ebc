"""Kernels of a wheel, compiled beforehand: a library for each level of processor.

The name of a library has a digest of its source, and the level, as in `program-<digest>-x86-64-v3.so`.
So a library of another version of the source is never loaded. `tools/build_wheel.py` makes them.
"""

import ctypes
import hashlib
import platform
from importlib import metadata
from pathlib import Path

FOLDER = "prebuilt"  # in the folder of this file
_V2 = {"cx16", "lahf_lm", "popcnt", "pni", "ssse3", "sse4_1", "sse4_2"}
_V3 = _V2 | {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
# The levels of each machine, the best first, with the flags of /proc/cpuinfo that each level needs.
# They are those of the x86-64 psABI, with Linux's names for the flags.
LEVELS = {
    "x86_64": {"x86-64-v4": _V4, "x86-64-v3": _V3, "x86-64-v2": _V2},
    "aarch64": {"aarch64": {"fp", "asimd"}},
}


def name(source: bytes, stem: str, level: str) -> str:
    """The file name of the library of `source` for a level."""
    return f"{stem}-{hashlib.sha256(source).hexdigest()[:20]}-{level}.so"


def usable(machine: str, flags: set[str]) -> list[str]:
    """The levels that a processor can run, the best first."""
    return [level for level, needed in LEVELS.get(machine, {}).items() if needed <= flags]


def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """The features of the first processor, as Linux names them; empty on other systems."""
    try:
        first = cpuinfo.read_text(errors="replace").split("\n\n")[0]
    except OSError:
        return set()
    fields = {key.strip(): value for key, _, value in (line.partition(":") for line in first.splitlines())}
    return set((fields.get("flags") or fields.get("Features") or "").split())  # x86, Arm


def places() -> list[Path]:
    """Folders that may hold libraries: beside this file, and in an installed wheel if a clone runs instead of it."""
    installed = [Path(str(one.locate_file("megan/ops"))) for one in metadata.distributions(name="megan")]
    return [folder / FOLDER for folder in (Path(__file__).parent, *installed)]


def library(source: bytes, stem: str) -> ctypes.CDLL | None:
    """The best library for this processor that was compiled from exactly this source, or None."""
    for level in usable(platform.machine(), processor_flags()):
        for folder in places():
            path = folder / name(source, stem, level)
            if not path.is_file():
                continue
            try:
                found = ctypes.CDLL(str(path))
            except OSError:  # damaged, or compiled for another C library
                continue
            if level_of(found) == level:
                return found
    return None


def level_of(library: ctypes.CDLL) -> str:
    """The level that a library was compiled for; empty for one that was compiled on this machine."""
    try:
        function = library.megan_level
    except AttributeError:
        return ""
    function.restype = ctypes.c_char_p
    return function().decode()
