"""A preempted job that Slurm has cancelled is queued again. Slurm is made up here; test_slurm.py has a real one."""

import asyncio
import inspect
import logging
from types import SimpleNamespace

import pytest

from workflow import preemption


class Executor:
    """As the plugin's: it goes on waiting for every job."""

    logger = logging.getLogger("executor")

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}

    def report_job_error(self, job: SimpleNamespace, msg: str) -> None:
        self.failed[job.external_jobid] = msg

    async def check_active_jobs(self, active_jobs: list[SimpleNamespace]):
        for job in active_jobs:
            yield job


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A Slurm whose preempted jobs are files in `jobs`. What a file says is why Slurm does not queue the job again."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for program, script in {
        "squeue": f'[ "$*" = "--me --states=PREEMPTED --noheader --format=%i" ] && cd {tmp_path}/jobs && ls',
        "scontrol": f'[ "$1" = requeue ] && cd {tmp_path}/jobs && if [ -s $2 ]; then cat $2 >&2; exit 1; fi; rm $2',
    }.items():
        (tmp_path / program).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / program).chmod(0o755)
    (tmp_path / "jobs").mkdir()
    return tmp_path


def waited_for(executor: object, *numbers: str) -> list[str]:
    """The jobs that remain active after one look."""

    async def look() -> list[str]:
        active = [SimpleNamespace(external_jobid=number) for number in numbers]
        return [job.external_jobid async for job in executor.check_active_jobs(active)]

    return asyncio.run(look())


@pytest.fixture
def executor() -> Executor:
    extended = type("Extended", (Executor,), {})
    preemption.queue_again(extended)
    return extended()


def test_it_is_queued_again(slurm, executor, caplog):
    (slurm / "jobs/7").touch()
    (slurm / "jobs/9").touch()  # of another snakemake
    assert waited_for(executor, "6", "7") == ["6", "7"]
    assert caplog.messages == ["Slurm has preempted and cancelled job 7, and is asked to queue it again"]
    assert [job.name for job in (slurm / "jobs").iterdir()] == ["9"]
    assert not executor.failed


def test_one_that_slurm_refuses_has_failed(slurm, executor):
    (slurm / "jobs/7").write_text("Requested operation is\npresently disabled\n")
    assert waited_for(executor, "6", "7") == ["6"]
    reason = "Requested operation is presently disabled"
    assert executor.failed == {"7": f"Slurm does not queue preempted job 7 again: {reason}. "}


def test_a_slurm_that_does_not_answer(slurm, executor, monkeypatch):
    """It is asked again at the next look, also where it answers the first of the questions alone."""
    (slurm / "jobs/7").write_text("Unable to contact slurm controller\n")
    (slurm / "squeue").write_text(f"#!/bin/sh\n[ -e {slurm}/asked ] && exit 1; touch {slurm}/asked; echo 7\n")
    assert waited_for(executor, "7") == ["7"]
    assert waited_for(executor, "7") == ["7"]
    monkeypatch.setenv("PATH", "")
    assert waited_for(executor, "7") == ["7"]
    assert not executor.failed


def test_the_plugin_has_what_is_extended():
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install -e '.[cluster]'")
    assert inspect.isasyncgenfunction(plugin.Executor.check_active_jobs)
    assert "msg" in inspect.signature(plugin.Executor.report_job_error).parameters
