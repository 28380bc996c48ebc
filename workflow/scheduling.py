"""Data for Snakemake: the stale stages of DVC, their dependencies, and the resources that each needs."""

import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import psutil
from dvc.repo import Repo

from megan.stages.registry import CONFIG, Stage

GPU = {"gpu": 1}
# What DVC does not know of a stage. `alone`: the number of threads changes its results, so it gets all cores, as
# under `dvc repro`. `shares`: it shares the cores with its other variants. `resources`: GPUs, and for a cluster
# minutes and MB of memory.
NEEDS: dict[str, dict[str, Any]] = {
    "encoder": {"alone": True, "resources": GPU | {"runtime": 120}},
    "judge": {"alone": True, "resources": GPU | {"runtime": 120}},
    "gan": {"alone": True, "resources": GPU | {"runtime": 120}},
    "train": {"shares": True, "resources": GPU | {"runtime": 1440, "mem_mb": 32000}},
    "test": {"shares": True, "resources": GPU | {"runtime": 240}},
    "report": {"alone": True},
}


def threads(stage: Stage, todo: Iterable[Stage], cores: int) -> int:
    """All cores, one, or an equal share if several jobs of a stage can run in parallel."""
    needs = NEEDS.get(stage.name, {})
    if needs.get("alone"):
        return cores
    beside = sum(other.name == stage.name for other in todo)
    return max(1, cores // beside) if needs.get("shares") else 1


def resources(stage: Stage) -> dict[str, int]:
    return NEEDS.get(stage.name, {}).get("resources", {})


def environment(stage: Stage, wildcards: object, threads: int) -> str:
    """A shell assignment of the number of threads. MEGAN_THREADS of the user overrides the number of Snakemake."""
    return "" if NEEDS.get(stage.name, {}).get("alone") else f"MEGAN_THREADS=${{MEGAN_THREADS:-{threads}}}"


def stale(stages: Mapping[str, Stage]) -> list[Stage]:
    """The stages that DVC would run, and all stages that depend on them.

    Runs stage `config` first, because the answer depends on it.
    """
    wait_for_others()
    logging.getLogger("dvc").setLevel(logging.WARNING)
    with Repo() as repo:
        pipeline = stages[CONFIG].target.removesuffix(CONFIG)  # "" for the dvc.yaml at the root
        repo.reproduce(pipeline + CONFIG)
        changed = repo.status([pipeline.removesuffix(":") or "dvc.yaml"])
        found = {address.removeprefix(pipeline) for address in changed} & set(stages)
    todo: list[Stage] = []
    for address, stage in stages.items():  # in the order in which data flows
        if address in found or waits_for(stage, todo):
            todo.append(stage)
    return [stage for stage in todo if stage.name != CONFIG]


def waits_for(stage: Stage, others: Iterable[Stage]) -> list[str]:
    """The outputs of other stages that a stage reads."""
    return [out for other in others if other is not stage for out in other.outputs if _is_read(out, stage.inputs)]


def _is_read(output: str, inputs: Iterable[str]) -> bool:
    """Whether an output is one of the inputs, or is inside one of them."""
    return any(PurePosixPath(output).is_relative_to(path) for path in inputs)


def wait_for_others() -> None:
    """Wait until no DVC process is running in this repository.

    Jobs of a killed Snakemake continue to run. A new Snakemake removes the outputs of a job before it
    starts, which would break running jobs. So it waits for them.
    """
    if pids := at_work():
        print(
            f"dvc is already running here (process {', '.join(map(str, pids))}); waiting for it to end", file=sys.stderr
        )
        while at_work():
            time.sleep(0.2)


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
