"""Settings of the machine: environment variables, which only this module reads.

They are not parameters of an experiment. The device, the number of threads and the kernel
change only the rounding of results. The provenance files record them.
"""

import os
from pathlib import Path

from megan.errors import MeganError

MOST_THREADS = 1024


class SettingsError(MeganError):
    """An environment variable has an invalid value. The message names it."""


def mirror() -> str | None:
    """`MEGAN_MIRROR`: a folder or web address with the public files of the data sets."""
    return os.environ.get("MEGAN_MIRROR") or None


def device() -> str:
    """`MEGAN_DEVICE`: `cpu`, `cuda` or `cuda:N`. Unset or `auto`: CUDA if available, else the CPU."""
    import torch

    wanted = os.environ.get("MEGAN_DEVICE") or "auto"
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    name, _, index = wanted.partition(":")
    numbered = index.isascii() and index.isdecimal() and len(index) < 6 and name == "cuda"
    if name not in ("cpu", "cuda") or (wanted != name and not numbered):
        raise SettingsError(f"MEGAN_DEVICE = {wanted!r:.80}: expected auto, cpu, cuda or cuda:N")
    if name == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"MEGAN_DEVICE = {wanted!r:.80}: this machine has {torch.cuda.device_count()} CUDA devices;"
            " unset it or use cpu"
        )
    return wanted


def threads() -> int:
    """`MEGAN_THREADS`: CPU cores that one stage may use, with one process or thread on each.

    Unset: all cores that this process may use.
    """
    # The limit avoids a crash of the thread library if the machine cannot start so many.
    return _positive(
        "MEGAN_THREADS",
        most=MOST_THREADS,
        default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )


def chunk(default: int) -> int:
    """`MEGAN_CHUNK`: number of tasks adapted at a time, which limits memory. Unset: `default`."""
    return _positive("MEGAN_CHUNK", default)


def kernel() -> str:
    """`MEGAN_KERNEL`: `native` (C++, compiled beforehand or once on this machine), `torch`, or `auto`."""
    wanted = os.environ.get("MEGAN_KERNEL") or "auto"
    if wanted not in ("auto", "native", "torch"):
        raise SettingsError(f"MEGAN_KERNEL = {wanted!r:.80}: expected auto, native or torch")
    return wanted


def cache() -> Path:
    """`MEGAN_CACHE`: the folder of compiled kernels. Unset: the user's cache folder."""
    if own := os.environ.get("MEGAN_CACHE"):
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "megan"
    except RuntimeError:
        raise SettingsError(
            "MEGAN_CACHE is unset, and this user has no home folder; set it to a folder that only you can write to"
        ) from None


def _positive(name: str, default: int, most: int = 10**6) -> int:
    text = os.environ.get(name)
    if not text:
        return default
    if not text.isdecimal() or not text.isascii() or len(text) > 9 or not 0 < int(text) <= most:
        raise SettingsError(f"{name} = {text!r:.80}: expected a whole number from 1 to {most}")
    return int(text)
