"""How a device is kept busy: the chunks of tasks, and the threads that work on them.

On a CPU one Python thread a core takes chunks of one seed each; the kernels release the
interpreter's lock, and a chunk stays in the cache. On CUDA all seeds ride in one chunk.
The size of a chunk changes results by rounding only; the number of threads not at all.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from megan import settings
from megan.ops import kernels

Job = TypeVar("Job")
Result = TypeVar("Result")

CPU_CHUNK = 8  # tasks; measured best for the Omniglot network on cores with 512 KiB of L2 cache


@dataclass
class Workers:
    """The device, and on a CPU its pool of threads."""

    device: str = field(default_factory=settings.device)
    threads: int = field(default_factory=settings.threads)

    def __post_init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        if self.is_cpu:
            torch.set_num_threads(1)  # one thread a chunk: the chunks are what runs in parallel
            self._pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

    @property
    def is_cpu(self) -> bool:
        return self.device == "cpu"

    def rounding(self) -> dict[str, str | int]:
        """What rounding depends on; runs that agree in it agree to the last bit on a CPU."""
        chunk = settings.chunk(CPU_CHUNK if self.is_cpu else 0)
        return {"device": self.device, "kernel": kernels.name(self.device), "chunk": chunk}

    def task_chunks(self, tasks: int) -> list[torch.Tensor]:
        """Task numbers 0..tasks-1 in runs of one chunk, each int64 on the device."""
        size = settings.chunk(CPU_CHUNK if self.is_cpu else tasks)
        return list(torch.arange(tasks, device=self.device).split(size))

    def seed_groups(self, seeds: int) -> list[slice]:
        """Which seeds share a chunk: one each on a CPU, all together on CUDA."""
        return [slice(s, s + 1) for s in range(seeds)] if self.is_cpu else [slice(0, seeds)]

    def map(self, work: Callable[[Job], Result], jobs: Iterable[Job]) -> list[Result]:
        """`[work(job) for job in jobs]`, in that order whatever finishes first."""
        if self._pool is None:
            return [work(job) for job in jobs]
        return list(self._pool.map(work, jobs))
