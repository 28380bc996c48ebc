"""Provenance of a result: versions, commit, device, host, wall time and speed.

Each result has two such files. `record.json` holds what is equal in every run. The file described
here holds what differs from run to run, so no stage depends on it.
"""

import platform
import subprocess
import time
from importlib import metadata
from typing import Any

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "safetensors", "dvc", "snakemake")


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def commit() -> str:
    """The checked-out commit, with `+changes` if the working tree differs; `unknown` outside git."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()
        status = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + ("+changes" if status.stdout.strip() else "")


def describe(machine: dict[str, Any], **measured: Any) -> dict[str, Any]:
    """The content of a provenance file; `machine` is the device and what rounding depends on."""
    import torch

    cuda = str(machine["device"]).startswith("cuda")
    return {
        "versions": versions(),
        "commit": commit(),
        **machine,
        "device_name": torch.cuda.get_device_name(machine["device"]) if cuda else platform.machine(),
        "host": platform.platform(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **measured,
    }
