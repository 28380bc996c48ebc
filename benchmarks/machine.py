"""Where and with what a measurement was made."""

import os
import platform
import time
from importlib import metadata
from pathlib import Path

import torch

from benchmarks.contenders import CONTENDERS
from megan.ops import kernels
from megan.runs import provenance


def describe(device: str, threads: int) -> dict[str, str]:
    """What a table's caption says, by name. The load is the other processes' just before the run."""
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "device": torch.cuda.get_device_name(device) if device != "cpu" else _processor(),
        "threads": str(threads),
        "kernel": kernels.name(device),
        "load before": load,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": provenance.commit()[:12] + ("+changes" if provenance.commit().endswith("+changes") else ""),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def versions() -> dict[str, str]:
    return {name: version(contender.distribution) for name, contender in CONTENDERS.items()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def folder(device: str) -> Path:
    """Where the results of a device go: `benchmarks/results/cpu` or `.../cuda`."""
    path = Path(__file__).with_name("results") / device.partition(":")[0]
    path.mkdir(parents=True, exist_ok=True)
    return path
