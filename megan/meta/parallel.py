"""Divides work into chunks of tasks, and distributes the chunks to the cores of a CPU.

On a CPU each core has one process (one thread where a process cannot be forked). It takes
chunks of one seed each, which stay in its cache. On CUDA one chunk holds all seeds. The size of
a chunk changes results by rounding only; the number of cores does not change them. So if memory
does not suffice, the same work is done in smaller chunks.
"""

import gc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch

from megan.config import machine
from megan.errors import MeganError
from megan.meta import processes
from megan.meta.processes import Processes, Tensors
from megan.ops import kernels
from megan.runs import progress

Chunk = tuple[slice, range]  # seeds, and numbers of tasks

CPU_CHUNK = 4  # tasks of 28x28 images; with 2 the interpreter takes a fifth of the time, with 8 memory doubles


def cpu_chunk(side: int) -> int:
    """Tasks in a chunk on a CPU, for images of `side` pixels: they need about the memory of 4 tasks of 28 pixels."""
    return max(1, CPU_CHUNK * 28**2 // side**2)


class OutOfMemoryError(MeganError):
    """The device's memory does not suffice; the message names the parameter or setting to lower."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device could not allocate: CUDA has an exception of its own, the CPU raises a `RuntimeError`."""
    message = str(error)
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in message or "not enough memory" in message or "std::bad_alloc" in message)
    )


@dataclass
class Workers:
    """The device, and on a CPU the processes or threads that share its cores."""

    device: str = field(default_factory=machine.device)
    threads: int = field(default_factory=machine.threads)
    default_chunk: int = CPU_CHUNK  # tasks in a chunk on a CPU, unless MEGAN_CHUNK is set
    _limit: int | None = field(default=None, init=False)  # tasks in a chunk, once memory did not suffice for more

    def __post_init__(self) -> None:
        self._processes: Processes | None = None
        self._pool: ThreadPoolExecutor | None = None
        if self.is_cpu:
            torch.set_num_threads(1)  # one thread for each chunk, since chunks run in parallel
            if self.threads > 1 and not processes.supported():
                self._pool = ThreadPoolExecutor(self.threads)

    @property
    def is_cpu(self) -> bool:
        return self.device == "cpu"

    def rounding(self) -> dict[str, str | int]:
        """The settings that rounding depends on. On a CPU, runs with equal settings agree to the last bit."""
        chunk = self._limit or machine.chunk(self.default_chunk if self.is_cpu else 0)
        return {"device": self.device, "kernel": kernels.name(self.device), "chunk": chunk}

    def chunk_size(self, tasks: int, most: int | None = None) -> int:
        """Tasks in a chunk: `MEGAN_CHUNK`, or the best size measured for the device.

        It is never above `most`, nor above the size that memory was found to suffice for.
        """
        size = machine.chunk(self.default_chunk if self.is_cpu else tasks)
        return min(bound for bound in (size, tasks, most, self._limit) if bound)

    def task_chunks(self, tasks: int, most: int | None = None) -> list[range]:
        """The task numbers 0..tasks-1, divided into chunks."""
        size = self.chunk_size(tasks, most)
        return [range(start, min(start + size, tasks)) for start in range(0, tasks, size)]

    def numbers(self, tasks: range) -> torch.Tensor:
        """int64 [tasks] on the device."""
        return torch.arange(tasks.start, tasks.stop, device=self.device)

    def share(self, state: Tensors) -> None:
        """Move `state` to memory that the processes of later calls of `map` share, so that all see changes in place."""
        if self.is_cpu and self._pool is None and self.threads > 1:
            state.update(processes.shared(state))

    def seed_groups(self, seeds: int) -> list[slice]:
        """The seeds that share a chunk: each alone on a CPU, all together on CUDA."""
        return [slice(s, s + 1) for s in range(seeds)] if self.is_cpu else [slice(0, seeds)]

    def map(self, work: Callable[[Any], Tensors], jobs: Sequence[Any]) -> list[Tensors]:
        """`[work(job) for job in jobs]`, in this order, which is not the order in which jobs finish.

        The same `work` and `jobs` run in the same processes again. There `work` reads everything
        as it was the first time, except tensors given to `share`. If `work` has a method `prepare`, it is
        called with the jobs before the processes are forked.
        """
        if self._pool is not None:
            return list(self._pool.map(work, jobs))
        count = min(self.threads, len(jobs)) if self.is_cpu else 1
        if count < 2:
            return [work(job) for job in jobs]
        if self._processes is None or not self._processes.fits(work, jobs):
            if self._processes is not None:
                self._processes.close()
            if hasattr(work, "prepare"):
                work.prepare(jobs)
            self._processes = Processes(work, jobs, count, is_out_of_memory)
        return self._processes.run()

    def map_chunks(
        self, work: Callable[[Chunk], Tensors], groups: list[slice], tasks: int, most: int | None = None
    ) -> list[list[Tensors]]:
        """`work((group, tasks))` on tasks 0..tasks-1 of every group, divided into chunks.

        If memory does not suffice, everything is done again in chunks of half the size. Later
        calls keep that size.
        **Returns** a list for each group, in the order of the tasks.
        **Raises** `OutOfMemoryError` if memory does not suffice for one task at a time.
        """
        while True:
            size = self.chunk_size(tasks, most)
            chunks = self.task_chunks(tasks, most)
            try:
                results = iter(self.map(work, [(group, numbers) for group in groups for numbers in chunks]))
                return [[next(results) for _ in chunks] for _ in groups]
            except (MemoryError, RuntimeError) as error:
                # A graph being captured has recorded half of the work: the caller must capture it again.
                if not is_out_of_memory(error) or (not self.is_cpu and torch.cuda.is_current_stream_capturing()):
                    raise
            self.lower_chunk(size)  # here, where the failed attempt's tensors are freed

    def lower_chunk(self, size: int) -> None:
        """Halve the chunks, now of `size` tasks, and free what the device holds in reserve."""
        if size <= 1:
            several = "MEGAN_THREADS, or " if self.is_cpu else "seeds of the variant's tier, or "
            raise OutOfMemoryError(
                f"out of memory on {self.device} with one task at a time;"
                f" lower {several}tasks.ways, tasks.shots or the queries in params.yaml"
            )
        self._limit = size // 2
        progress.say(
            f"out of memory on {self.device} with {size} tasks at a time;"
            f" continuing with {self._limit} (MEGAN_CHUNK={self._limit} begins with it)"
        )
        gc.collect()
        if not self.is_cpu:
            torch.cuda.empty_cache()
