"""Processes that share one list of jobs on a CPU. They are forks, since threads would wait for the interpreter's lock.

A fork has the work and the jobs in its memory, so it receives only the signal to begin. It sends back
tensors, in a format that holds no code. It ends when this process ends, for any reason.
"""

import ctypes
import os
import signal
import sys
import traceback
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from mmap import mmap
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from megan.errors import MeganError

Tensors = dict[str, Tensor]
Work = Callable[[Any], Tensors]

PR_SET_PDEATHSIG = 1  # of Linux
TENSORS, NO_MEMORY, FAILED = b"t", b"m", b"f"  # the first byte of an answer


class ProcessEndedError(MeganError):
    """The machine has ended one of the processes, or cannot start more; the message says what to lower."""


def supported() -> bool:
    """Whether work can be forked: on Linux, and where autograd has no threads for a GPU, which a fork would lose."""
    return sys.platform == "linux" and not torch.cuda.is_available()


def shared(values: Tensors) -> Tensors:
    """Copies in memory that this process shares with all forks made from now on, so that they see later changes."""
    copies = {}
    for name, value in values.items():
        copies[name] = torch.frombuffer(mmap(-1, max(value.nbytes, 1)), dtype=value.dtype, count=value.numel()).view(
            value.shape
        )
        copies[name].copy_(value)
    return copies


class Processes:
    """`count` processes, this one among them, that do `[work(job) for job in jobs]` at every call of `run`.

    `work` reads everything as it was at the beginning, except tensors that are `shared`.
    """

    def __init__(
        self, work: Work, jobs: Sequence[Any], count: int, is_out_of_memory: Callable[[BaseException], bool]
    ) -> None:
        self.work, self.jobs, self.count, self._is_out_of_memory = work, jobs, count, is_out_of_memory
        self._connections: list[Connection] = []
        self._pids: list[int] = []
        self._parent = os.getpid()
        self._end = weakref.finalize(self, _end, self._parent, self._connections, self._pids)
        try:
            for number in range(1, count):
                self._fork(number)
        except OSError as error:
            self.close()
            raise ProcessEndedError(
                f"cannot start {count} processes for {len(jobs)} chunks of tasks ({error.strerror});"
                " lower MEGAN_THREADS"
            ) from None

    def fits(self, work: Work, jobs: Sequence[Any]) -> bool:
        return self._end.alive and work is self.work and jobs == self.jobs

    def close(self) -> None:
        self._end()

    def run(self) -> list[Tensors]:
        """The results in the order of the jobs.

        **Raises** what `work` raises in this process; `MemoryError` or `RuntimeError` for an error in a fork;
        `ProcessEndedError` if a fork has ended. After any of these the processes are closed.
        """
        results: list[Tensors] = [{} for _ in self.jobs]
        try:
            for connection in self._connections:
                connection.send_bytes(b"run")
            for index in range(0, len(self.jobs), self.count):
                results[index] = self.work(self.jobs[index])
            for number, connection in enumerate(self._connections, 1):
                for index in range(number, len(self.jobs), self.count):
                    results[index] = _received(connection.recv_bytes())
        except (EOFError, ConnectionError):
            self.close()
            raise ProcessEndedError(
                "a process that worked on tasks was killed from outside, most likely because memory ran out;"
                " lower MEGAN_THREADS or MEGAN_CHUNK"
            ) from None
        except BaseException:
            self.close()
            raise
        return results

    def _fork(self, number: int) -> None:
        here, there = Pipe()
        with warnings.catch_warnings():
            # Python 3.12 warns of threads. The progress bar has one, and no fork draws the bar.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            try:
                # If a fork kept these ends open, its siblings would not see this process end.
                for connection in (*self._connections, here):
                    connection.close()
                self._serve(number, there)
            finally:
                os._exit(0)
        there.close()
        self._connections.append(here)
        self._pids.append(pid)

    def _serve(self, number: int, connection: Connection) -> None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # when the parent ends, even in the middle of a job
        if os.getppid() != self._parent:
            return
        for asked in (signal.SIGINT, signal.SIGTERM):
            signal.signal(asked, signal.SIG_IGN)  # the parent handles them, and finishes its step first
        while True:
            try:
                connection.recv_bytes()
            except (EOFError, OSError):
                return
            # First all jobs, then the answers: a pipe holds little, and the parent reads only after its own jobs.
            answers = [self._answer(self.jobs[index]) for index in range(number, len(self.jobs), self.count)]
            for answer in answers:
                connection.send_bytes(answer)

    def _answer(self, job: Any) -> bytes:
        try:
            return TENSORS + save({name: value.contiguous() for name, value in self.work(job).items()})
        except BaseException as error:
            return (NO_MEMORY if self._is_out_of_memory(error) else FAILED) + traceback.format_exc().encode()


def _received(answer: bytes) -> Tensors:
    kind, content = answer[:1], answer[1:]
    if kind == TENSORS:
        return load(content)
    message = content.decode()
    raise MemoryError(message) if kind == NO_MEMORY else RuntimeError(message)


def _end(owner: int, connections: list[Connection], pids: list[int]) -> None:
    if os.getpid() != owner:  # a fork has inherited this finalizer, but these processes are not its own
        return
    for connection in connections:
        connection.close()
    for pid in pids:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)  # they have nothing to save
            os.waitpid(pid, 0)
