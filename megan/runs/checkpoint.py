"""Checkpoints of unfinished work, safe against kills and concurrent writers.

The resume folder of a stage is named after a digest of everything that affects its numbers. A
lock makes a second writer wait. The file is replaced in one step, so it is complete at any
moment. A checksum detects later changes. The folder is removed when the result is published.
"""

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from megan.config import paths
from megan.runs import progress, result, storage
from megan.runs.job import Job


class Resume:
    """The resume folder of one job. Create it with `locked`."""

    def __init__(self, name: str, digest: str) -> None:
        self.folder = paths.RESUME / name / digest[:32]
        self.digest = digest

    @property
    def _file(self) -> Path:
        return self.folder / "state.safetensors"

    def save(self, tensors: dict[str, torch.Tensor], text: dict[str, str]) -> None:
        """Replace the state by `tensors` (on the CPU) and `text` in one step.

        Raises `StorageError` if the disk is full.
        """
        told = {**text, "digest": self.digest, "content": _checksum(tensors, text)}
        with storage.replacing(self._file, sum(value.nbytes for value in tensors.values())) as temporary:
            save_file(tensors, temporary, metadata=told)

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, str]] | None:
        """The last saved state, or None. A damaged, changed or foreign file is ignored with a message."""
        try:
            with safe_open(self._file, framework="pt") as file:
                text = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError) as error:
            self._pass_over(f"cannot be read ({error})")
            return None
        digest, content = text.pop("digest", None), text.pop("content", None)
        if digest != self.digest:
            self._pass_over("was made with other parameters, data or code")
            return None
        if content != _checksum(tensors, text):
            self._pass_over("was changed since it was saved")
            return None
        return tensors, text

    def _pass_over(self, reason: str) -> None:
        progress.say(f"{self._file} {reason}; starting from the beginning")

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _checksum(tensors: dict[str, torch.Tensor], text: dict[str, str]) -> str:
    """SHA-256 of names, types, shapes and values."""
    state = hashlib.sha256(storage.digest(text).encode())
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        state.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        state.update(value.view(-1).view(torch.uint8).numpy().data if value.numel() else b"")
    return state.hexdigest()


def _holder(path: Path) -> str:
    """The process number of the holder of the lock, which it writes after it has locked."""
    for _ in range(50):
        with contextlib.suppress(FileNotFoundError):
            if pid := path.read_text().strip():
                return pid
        time.sleep(0.02)
    return "unknown"


@contextmanager
def resumable(job: Job, machine: dict[str, Any]) -> Iterator[Resume | None]:
    """The resume folder of a job, or None if another process has just finished the same job.

    `machine` holds what rounding depends on, so that a state is never used on another device or kernel.
    The folder is removed if the block ends without an error.
    """
    with locked(f"{job.study}/{job.address}", storage.digest({**job.identity, **machine})) as resume:
        if result.stands(job.folder, job.identity, job.address):
            progress.say(f"{job.address}: another process has just finished this; using its result")
            yield None
        else:
            yield resume
        resume.discard()


@contextmanager
def locked(name: str, digest: str) -> Iterator[Resume]:
    """Lock the resume folder of `name`. If another process holds it, print its process number and wait.

    It is a file lock of the operating system, which is released when its holder dies.
    """
    folder = paths.RESUME / name
    holder, lock = folder / "holder.pid", FileLock(folder / "lock")
    with storage.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            pid = _holder(holder)
            progress.say(
                f"{name}: process {pid} is working on this; waiting for it (if you stop it, this process continues"
                " from its last checkpoint)"
            )
            lock.acquire()
    try:
        storage.write_text(holder, f"{os.getpid()}\n")
        yield Resume(name, digest)
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
