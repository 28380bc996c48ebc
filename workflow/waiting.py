"""Waits for what is at work in this repository: another Snakemake, and what a killed one left behind, which may be DVC
processes here and jobs of the scheduler.
"""

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

LOOK_EVERY = 10.0  # seconds between two questions to the scheduler
ATTEMPTS, PAUSE = 3, 2.0  # questions to a scheduler that does not answer, and seconds between them
_held: dict[str, int] = {}  # locks by study; they end with this process


def be_alone(study: str) -> None:
    """Lock a study of this folder until this process ends. Waits while another Snakemake holds the lock.

    Two at once would remove results under each other's stages. Snakemake's own lock would remain after a kill; this
    one is of the operating system.
    """
    if study in _held:
        return
    path = Path(".snakemake") / f"running-{study}"
    path.parent.mkdir(exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(
            f"another snakemake ({path.read_text().strip()}) runs study {study} here; waiting for it to end",
            file=sys.stderr,
            flush=True,
        )
        fcntl.flock(handle, fcntl.LOCK_EX)
    os.truncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {platform.node()}\n".encode())
    _held[study] = handle


def wait_for_others(attempts: int = 1) -> None:
    """Wait until no DVC process and no cluster job of an earlier run is at work on this folder.

    **Arguments** `attempts`: how often a Slurm that does not answer is asked.

    What a killed Snakemake has started continues to run. A new one would remove the outputs of such a job, or submit it
    a second time. So it waits, and then takes what they have finished.
    """
    if pids := at_work():
        print(
            f"dvc is already running here (process {', '.join(map(str, pids))}); waiting for it to end", file=sys.stderr
        )
        while at_work():
            time.sleep(0.2)
    jobs = submitted()
    while jobs is None and (attempts := attempts - 1) > 0:
        time.sleep(PAUSE)
        jobs = submitted()
    if jobs is None:
        print("Slurm does not answer; going on as if it had no jobs of this folder", file=sys.stderr)
    if jobs:
        print(
            f"Slurm has jobs of this folder ({', '.join(jobs)}), of an earlier snakemake; waiting for them to end."
            f" To go on at once: scancel {' '.join(jobs)} (a training saves its state first)",
            file=sys.stderr,
            flush=True,
        )
        while submitted() != []:  # no answer does not mean no jobs
            time.sleep(LOOK_EVERY)


def submitted() -> list[str] | None:
    """Numbers of Slurm's jobs that run rules in this folder, on any node, or wait to. None if Slurm does not answer.

    Numbers of processes mean nothing on another machine, so Slurm is asked. Its plugin for Snakemake names the rule in
    a job's comment.
    """
    if not shutil.which("squeue"):
        return []
    question = ["squeue", "--me", "--noheader", "--format=%i|%k|%Z"]
    try:
        asked = subprocess.run(question, capture_output=True, text=True, timeout=120, check=True)
    except subprocess.SubprocessError as error:
        told = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
        print((told or str(error)).strip().splitlines()[-1], file=sys.stderr, flush=True)
        return None
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
