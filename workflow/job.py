"""The two halves of a stage on a cluster: `python workflow/job.py compute|record STUDY STAGE`.

`compute` runs on a node. It writes into the stage's own folder and asks DVC for nothing, since DVC's locks hold numbers
of processes, which mean nothing on another machine. `record` runs where jobs are submitted: it checks the result
against its record, and commits it to DVC. So one machine alone writes `dvc.lock` and DVC's cache.
"""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from megan import __main__ as command_line
from megan.config import params as parameters
from megan.config.params import Params
from megan.errors import MeganError
from megan.runs import result
from megan.runs.result import StaleError
from megan.stages import registry
from megan.stages.registry import Stage

SHOWN_WITHIN = 60.0  # seconds after which a shared file system shows what another node has written
NUMBERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")  # of a job, by scheduler


class NotFinishedError(MeganError):
    """A job has ended, and its result is not there."""


def compute(study: str, address: str) -> int:
    """Run a stage, unless its result stands already. Returns the exit code."""
    node = os.environ.get("SLURMD_NODENAME") or platform.node()
    job = next((os.environ[name] for name in NUMBERS if os.environ.get(name)), "without a number")
    print(
        f"{time.strftime('%Y-%m-%d %H:%M:%S')} {address} of {study}: job {job} on {node}", file=sys.stderr, flush=True
    )
    params = parameters.load(study=study)
    stage = registry.stages(params)[address]
    if stands(params, stage):
        print(f"{address}: its result stands already", file=sys.stderr)
        return 0
    return command_line.main(["--study", study, stage.name, *filter(None, [stage.item])])


def stands(params: Params, stage: Stage) -> bool:
    """Whether all outputs of a stage are there, made with exactly the present parameters, inputs and code.

    **Raises** `StaleError` if they are there, and an input is not or was made with others.
    """
    if not all(Path(path).exists() for path in stage.outputs):
        return False  # without reading any input
    return result.stands(stage.folder, registry.prepare(params, stage.name, stage.item).identity, stage.target)


def record(study: str, address: str) -> int:
    """Commit a finished result to DVC. Returns DVC's exit code.

    **Raises** `NotFinishedError` if there is none that was made with the present parameters, inputs and code: DVC
    would otherwise record these for a result that was made from others.
    """
    params = parameters.load(study=study)
    stage = registry.stages(params)[address]
    last = time.monotonic() + SHOWN_WITHIN
    try:
        while not stands(params, stage):
            if time.monotonic() > last:
                raise NotFinishedError(
                    f"{stage.folder} was not made with the present parameters, inputs and code, so it is not recorded;"
                    " if you have changed them since the start, run snakemake again"
                )
            time.sleep(1)
    except StaleError as error:
        raise NotFinishedError(
            f"{stage.folder} is not recorded: {error}; after a change since the start, run snakemake again"
        ) from None
    return commit(stage)


def commit(stage: Stage) -> int:
    # Without new links: jobs may be reading the files, so they stay as they are.
    options = ["--wait-for-lock", "commit", "--force", "--no-relink"]
    return subprocess.run([sys.executable, "-m", "dvc", *options, stage.target]).returncode


def main() -> int:
    task, study, address = sys.argv[1:]
    try:
        return {"compute": compute, "record": record}[task](study, address)
    except MeganError as error:
        print(f"{task} {address}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
