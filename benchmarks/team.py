"""Worker processes that share the tasks of a contender. They start once and run one at a time."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.contenders import CONTENDERS


class Failed(Exception):
    """A worker cannot do what it was asked; the message says why."""

    def __init__(self, message: str, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing  # a module is not installed


@dataclass(frozen=True)
class Mode:
    processes: int
    threads: int  # of each

    def __str__(self) -> str:
        return f"{self.processes} x {self.threads}"


class Team:
    """`mode.processes` workers of contender `name`; the tasks of a problem are split evenly between them.

    `patient`: idle threads sleep instead of spinning, so that other teams can work at the same time.
    """

    def __init__(self, name: str, mode: Mode, device: str, verbose: bool = False, patient: bool = False) -> None:
        self.name, self.mode = name, mode
        threads = str(mode.threads)
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "MEGAN_THREADS": threads}
        environment |= {"OMP_WAIT_POLICY": "PASSIVE"} if patient else {}
        environment |= CONTENDERS[name].environment if name in CONTENDERS else {}
        self.workers = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", name, threads, device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if verbose else subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            for _ in range(mode.processes)
        ]

    def load(self, problem: str, path: Path, tasks: int) -> None:
        bounds = [tasks * share // len(self.workers) for share in range(len(self.workers) + 1)]
        parts = [list(part) for part in zip(bounds, bounds[1:], strict=False)]
        self._ask([{"do": "load", "problem": problem, "path": str(path), "tasks": part} for part in parts])

    def run(self, problem: str, count: int = 1) -> float:
        """Seconds for `count` meta-gradients, from the request to the last worker's reply."""
        start = time.perf_counter()
        self._ask_all({"do": "run", "problem": problem, "count": count})
        return time.perf_counter() - start

    def result(self, problem: str, folder: Path) -> dict[str, torch.Tensor]:
        """The last meta-gradient: the workers' shares added up."""
        paths = [folder / f"{self.name}-{index}.pt" for index in range(len(self.workers))]
        self._ask([{"do": "result", "problem": problem, "path": str(path)} for path in paths])
        shares = [torch.load(path, weights_only=True) for path in paths]
        return {name: sum(share[name] for share in shares) for name in shares[0]}

    def drop(self, problem: str) -> None:
        """Let the workers forget a problem."""
        self._ask_all({"do": "drop", "problem": problem})

    def peak(self) -> list[int]:
        """Peak memory in bytes of each process, including those that workers have forked."""
        return [peak for peaks in self._ask_all({"do": "peak"}) for peak in peaks]

    def close(self) -> None:
        for worker in self.workers:
            worker.stdin.close()
        for worker in self.workers:
            worker.wait()
            worker.stdout.close()

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask_all(self, command: dict[str, Any]) -> list[Any]:
        return self._ask([command] * len(self.workers))

    def _ask(self, commands: list[dict[str, Any]]) -> list[Any]:
        for worker, command in zip(self.workers, commands, strict=True):
            try:
                worker.stdin.write(json.dumps(command) + "\n")
                worker.stdin.flush()
            except OSError:
                raise Failed(self._ended(worker)) from None
        replies = [worker.stdout.readline() for worker in self.workers]  # all of them, or the next would lag
        for worker, reply in zip(self.workers, replies, strict=True):
            answer = json.loads(reply) if reply else {"error": self._ended(worker)}
            if "error" in answer:
                raise Failed(answer["error"], answer.get("missing", False))
        return [json.loads(reply)["ok"] for reply in replies]

    def _ended(self, worker: subprocess.Popen) -> str:
        return f"the worker ended with {worker.wait()}"
