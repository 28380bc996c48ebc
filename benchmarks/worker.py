"""A process that runs one contender on request: `python -m benchmarks.worker NAME THREADS DEVICE`.

It reads one JSON object a line from standard input, and answers each with one on standard output:

    {"do": "load", "problem": NAME, "path": FILE, "tasks": [FIRST, LAST]}
    {"do": "run", "problem": NAME, "count": N}        N meta-gradients; replies their seconds
    {"do": "result", "problem": NAME, "path": FILE}   the last meta-gradient into a file
    {"do": "drop", "problem": NAME}                   forgets a problem and its memory
    {"do": "peak"}                                    replies the peak memory in bytes, of itself and of each fork

A reply is `{"ok": ...}` or `{"error": "ImportError: ..."}`. NAME `bare` is the interpreter
with torch and nothing else; memory is measured against it.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import sys
import time
from typing import Any

import psutil
import torch

from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.problem import load


class Worker:
    def __init__(self, name: str, device: str) -> None:
        self.contender, self.device = CONTENDERS.get(name), device
        self.loaded: dict[str, Any] = {}

    def load(self, problem: str, path: str, tasks: list[int]) -> None:
        content = load(path, range(*tasks), self.device)
        module = importlib.import_module(f"benchmarks.contenders.{self.contender.modules[content.variant]}")
        self.loaded[problem] = module.Contender(content)

    def run(self, problem: str, count: int) -> float:
        contender = self.loaded[problem]
        self._wait()
        start = time.perf_counter()
        for _ in range(count):
            contender.gradient()
        self._wait()
        return time.perf_counter() - start

    def result(self, problem: str, path: str) -> None:
        torch.save(
            {name: value.detach().cpu().contiguous() for name, value in self.loaded[problem].result().items()}, path
        )

    def drop(self, problem: str) -> None:
        """Twenty workers wait at a time, and should not keep memory that they no longer need."""
        self.loaded.pop(problem, None)
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
            ctypes.CDLL(None).malloc_trim(0)

    def peak(self) -> list[int]:
        if self.device != "cpu":
            return [torch.cuda.max_memory_allocated()]
        return [
            _peak_resident(pid)
            for pid in (os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True)))
        ]

    def _wait(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()


def _peak_resident(pid: int) -> int:
    """Peak resident bytes of this program alone; `getrusage` would count the parent's from before `exec`.

    A fork's bytes are counted in full, though it shares most of them with the process that forked it.
    """
    try:
        with open(f"/proc/{pid}/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    name, threads, device = sys.argv[1:]
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # so that nothing an import prints is taken for a reply
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    if name == "bare":
        torch.ones(1).add_(1)
    worker = Worker(name, device)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            reply = {"ok": getattr(worker, command.pop("do"))(**command)}
        except Exception as error:  # it is reported with the contender's name, and the others continue
            text = (str(error).strip().splitlines() or [""])[0]
            reply = {"error": f"{type(error).__name__}: {text}", "missing": isinstance(error, ImportError)}
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
