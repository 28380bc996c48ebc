"""Waits for what an earlier run left at work in this repository: DVC processes here, and jobs of the scheduler."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

LOOK_EVERY = 10.0  # seconds between two questions to the scheduler


def wait_for_others() -> None:
    """Wait until no DVC process and no cluster job of an earlier run is at work on this folder.

    What a killed Snakemake has started continues to run. A new one would remove the outputs of such a job, or submit it
    a second time. So it waits, and then takes what they have finished.
    """
    if pids := at_work():
        print(
            f"dvc is already running here (process {', '.join(map(str, pids))}); waiting for it to end", file=sys.stderr
        )
        while at_work():
            time.sleep(0.2)
    if jobs := submitted():
        print(
            f"Slurm has jobs of this folder ({', '.join(jobs)}), of an earlier snakemake; waiting for them to end."
            f" To go on at once: scancel {' '.join(jobs)} (a training saves its state first)",
            file=sys.stderr,
            flush=True,
        )
        while submitted():
            time.sleep(LOOK_EVERY)


def submitted() -> list[str]:
    """Numbers of Slurm's jobs that run rules in this folder, on any node, or wait to. Empty where there is no Slurm.

    Numbers of processes mean nothing on another machine, so Slurm is asked. Its plugin for Snakemake names the rule in
    a job's comment.
    """
    if not shutil.which("squeue"):
        return []
    asked = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%i|%k|%Z"], capture_output=True, text=True, timeout=120
    )
    if asked.returncode:
        told = (asked.stderr.strip() or str(asked.returncode)).splitlines()[-1]
        print(f"{told}; going on as if Slurm had no jobs of this folder", file=sys.stderr)
        return []
    here, own = os.path.realpath("."), os.environ.get("SLURM_JOB_ID")
    rows = [line.split("|", 2) for line in asked.stdout.splitlines() if line.count("|") >= 2]
    return [
        job
        for job, comment, folder in rows
        if comment.startswith("rule_") and os.path.realpath(folder) == here and job != own
    ]


def at_work() -> list[int]:
    """Process numbers of the DVC processes that use a file of this repository."""
    try:
        held = json.loads(Path(".dvc/tmp/rwlock").read_text(encoding="utf-8"))
        holders = [*held["write"].values(), *(reader for readers in held["read"].values() for reader in readers)]
        pids = sorted({int(holder["pid"]) for holder in holders})
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [pid for pid in pids if _is_dvc(pid)]


def _is_dvc(pid: int) -> bool:
    # A killed process remains in DVC's file, and another process may have its number.
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "dvc" in " ".join(process.cmdline())
    except psutil.Error:
        return False
