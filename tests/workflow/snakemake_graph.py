"""Prints Snakemake's graph of the project in the working directory as JSON. A program of its own,
because Snakemake sets up logging and signal handlers for the whole process."""

import json
import sys

from snakemake.api import SnakemakeApi
from snakemake.settings.types import DAGSettings, OutputSettings, Quietness, ResourceSettings

with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as api:
    workflow = api.workflow(resource_settings=ResourceSettings(cores=int(sys.argv[1])))
    workflow.dag(DAGSettings(forceall=True)).execute_workflow(executor="dryrun")
    jobs = {
        job.message: {
            "inputs": sorted(map(str, job.input)),
            "outputs": sorted(map(str, job.output)),
            "threads": job.threads,
            "gpu": job.resources.get("gpu", 0),
        }
        for job in workflow._workflow.dag.jobs  # the interface has no public way to the jobs
        if job.rule.name != "all"
    }
print(json.dumps(jobs))
