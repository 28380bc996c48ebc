"""Jobs that Slurm cancels for more urgent ones (`PreemptMode=CANCEL`): they are queued again, as under `REQUEUE`.

Snakemake's plugin for Slurm leaves a job whose state is PREEMPTED to Slurm, and goes on waiting for it. Where Slurm
itself queues the job again, its state is at once PENDING. A job that it has cancelled stays PREEMPTED, so the plugin
would wait for ever. None of its settings changes that, and no option of a job chooses between the two modes.
"""

import subprocess
from collections.abc import AsyncIterator
from typing import Any


def queue_again(executor: Any) -> None:
    """Let the plugin's class `Executor` queue preempted jobs again before each of its own looks at the jobs.

    A job keeps its number and uses up no retry, however often it is preempted. One that Slurm refuses to queue again
    has failed, so Snakemake submits another one as long as there are retries.
    """
    look = executor.check_active_jobs

    async def check_active_jobs(self: Any, active_jobs: list[Any]) -> AsyncIterator[Any]:
        preempted = cancelled() if active_jobs else set()
        left = []
        for job in active_jobs:
            number = job.external_jobid
            if number in preempted:
                self.logger.warning(f"Slurm has preempted and cancelled job {number}, and is asked to queue it again")
                if reason := refused(number):
                    self.report_job_error(job, msg=f"Slurm does not queue preempted job {number} again: {reason}. ")
                    continue
            left.append(job)
        async for job in look(self, left):
            yield job

    executor.check_active_jobs = check_active_jobs


def cancelled() -> set[str]:
    """Numbers of this user's jobs that were preempted and have ended. Empty if Slurm does not answer."""
    answer = _ask("squeue", "--me", "--states=PREEMPTED", "--noheader", "--format=%i")
    return set(answer.stdout.split()) if answer.returncode == 0 else set()


def refused(number: str) -> str:
    """Ask Slurm to queue a job again. Returns why it does not; "" if it does, or gave no answer and is asked later.

    Slurm refuses where the cluster's rules forbid it: `Requeue=0` in `scontrol show job`.
    """
    answer = _ask("scontrol", "requeue", number)
    if answer.returncode == 0 or number not in cancelled():
        return ""
    return " ".join(answer.stderr.split()) or f"exit code {answer.returncode}"


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
