"""Data for Snakemake: the stale stages of DVC, and which of them wait for which."""

import logging
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import job
import needs
import waiting
from dvc.repo import Repo

from megan.config.params import Params
from megan.runs.result import StaleError
from megan.stages.registry import CONFIG, Stage

CARD = f"{sys.executable} {Path(__file__).with_name('cards.py')}"


def threads(stage: Stage, todo: Iterable[Stage], cores: int) -> int:
    """On one machine: all cores, one, or an equal share if several jobs of a stage can run in parallel."""
    if stage.name in needs.ALONE or stage.name == "report":
        return cores
    beside = sum(other.name == stage.name for other in todo)
    return max(1, cores // beside) if stage.name in needs.JOBS else 1


def resources(stage: Stage) -> dict[str, int]:
    """On one machine."""
    return {"gpu": 1} if stage.name in needs.JOBS else {}


def longest(defaults: Mapping[str, Any] | None) -> int:
    """Minutes that a job may take: `runtime` of the profile's `default-resources`, or a day."""
    given = getattr((defaults or {}).get("runtime"), "value", None)
    return given if isinstance(given, int) else 24 * 60


def environment(stage: Stage, wildcards: object, threads: int) -> str:
    """What precedes the command of a stage on one machine: its number of threads, and a GPU of its own.

    MEGAN_THREADS of the user overrides the number of Snakemake. A stage whose rounding depends on it gets all cores, as
    under `dvc repro`.
    """
    count = "" if stage.name in needs.ALONE else f"MEGAN_THREADS=${{MEGAN_THREADS:-{threads}}}"
    return f"{count} {CARD if stage.name in needs.JOBS else ''}"


def explain(log: Path) -> None:
    """Write into the empty log of a job that failed before its stage began where the reason is told."""
    if log.is_file() and not log.stat().st_size:
        log.write_text("The job ended before its stage began; see Snakemake's messages and .snakemake/slurm_logs\n")


def stale(params: Params, stages: Mapping[str, Stage], cluster: bool) -> list[Stage]:
    """The stages that DVC would run, and all stages that depend on them.

    First waits for another run that is still at work, runs stage `config`, because the answer depends on it, and
    records what jobs of an earlier run have finished.
    """
    waiting.be_alone(params.study)
    waiting.wait_for_others(waiting.ATTEMPTS if cluster else 1)
    logging.getLogger("dvc").setLevel(logging.WARNING)
    pipeline = stages[CONFIG].target.removesuffix(CONFIG)  # "" for the dvc.yaml at the root
    found = changed(pipeline, stages)
    if [stage for stage in found if stage.name in needs.JOBS and adopted(params, stage)]:
        found = changed(pipeline, stages)
    todo: list[Stage] = []
    for stage in stages.values():  # in the order in which data flows
        if stage in found or waits_for(stage, todo):
            todo.append(stage)
    return [stage for stage in todo if stage.name != CONFIG]


def changed(pipeline: str, stages: Mapping[str, Stage]) -> list[Stage]:
    """The stages that DVC finds changed, in the order in which data flows, after stage `config` has run."""
    with Repo(_wait_for_lock=True) as repo:
        repo.reproduce(pipeline + CONFIG)
        status = repo.status([pipeline.removesuffix(":") or "dvc.yaml"])
    found = {address.removeprefix(pipeline) for address in status}
    return [stage for address, stage in stages.items() if address in found]


def adopted(params: Params, stage: Stage) -> bool:
    """Commit the result of a stage to DVC if a job has finished it and nobody was left to record it."""
    try:
        if not job.stands(params, stage):
            return False
    except StaleError:
        return False
    print(f"Snakefile: {stage.address} was finished by a job of an earlier run; recording it", file=sys.stderr)
    return job.commit(stage) == 0


def waits_for(stage: Stage, others: Iterable[Stage]) -> list[str]:
    """The outputs of other stages that a stage reads."""
    return [out for other in others if other is not stage for out in other.outputs if _is_read(out, stage.inputs)]


def makers(stage: Stage, others: Iterable[Stage]) -> list[Stage]:
    """The other stages whose outputs a stage reads."""
    return [other for other in others if waits_for(stage, [other])]


def _is_read(output: str, inputs: Iterable[str]) -> bool:
    """Whether an output is one of the inputs, or is inside one of them."""
    return any(PurePosixPath(output).is_relative_to(path) for path in inputs)
