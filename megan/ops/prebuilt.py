"""Kernels compiled beforehand, as a wheel holds them: a library for each level of processor.

The name of a library says what it was made from and for whom, as `program-<digest>-x86-64-v3.so`.
So one that another version of the source gave is never loaded. `tools/build_wheel.py` makes them.
"""

import ctypes
import hashlib
import platform
from importlib import metadata
from pathlib import Path

FOLDER = "prebuilt"  # beside this file
_V2 = {"cx16", "lahf_lm", "popcnt", "pni", "ssse3", "sse4_1", "sse4_2"}
_V3 = _V2 | {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
# By machine the levels that there are, the best first, each with the flags of /proc/cpuinfo that it needs:
# the levels of the x86-64 psABI under Linux's names.
LEVELS = {
    "x86_64": {"x86-64-v4": _V4, "x86-64-v3": _V3, "x86-64-v2": _V2},
    "aarch64": {"aarch64": {"fp", "asimd"}},
}


def name(source: bytes, stem: str, level: str) -> str:
    """The file name of the library that `source` gives for a level."""
    return f"{stem}-{hashlib.sha256(source).hexdigest()[:20]}-{level}.so"


def usable(machine: str, flags: set[str]) -> list[str]:
    """The levels that a processor can run, the best first."""
    return [level for level, needed in LEVELS.get(machine, {}).items() if needed <= flags]


def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What Linux says that the first processor can do; empty elsewhere."""
    try:
        first = cpuinfo.read_text(errors="replace").split("\n\n")[0]
    except OSError:
        return set()
    told = {key.strip(): value for key, _, value in (line.partition(":") for line in first.splitlines())}
    return set((told.get("flags") or told.get("Features") or "").split())  # x86, Arm


def places() -> list[Path]:
    """Where libraries may lie: beside this file, and in an installed wheel where a clone runs in its place."""
    installed = [Path(str(one.locate_file("megan/ops"))) for one in metadata.distributions(name="megan")]
    return [folder / FOLDER for folder in (Path(__file__).parent, *installed)]


def library(source: bytes, stem: str) -> ctypes.CDLL | None:
    """The best library for this processor that was made from this very source, or None."""
    for level in usable(platform.machine(), processor_flags()):
        for folder in places():
            path = folder / name(source, stem, level)
            if not path.is_file():
                continue
            try:
                found = ctypes.CDLL(str(path))
            except OSError:  # damaged, or for an older C library than this one
                continue
            if level_of(found) == level:
                return found
    return None


def level_of(library: ctypes.CDLL) -> str:
    """The level that a library says it was compiled for; empty for one compiled on the machine for itself."""
    try:
        function = library.megan_level
    except AttributeError:
        return ""
    function.restype = ctypes.c_char_p
    return function().decode()
