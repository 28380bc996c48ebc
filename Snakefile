# Runs the stages of dvc.yaml in parallel or on a cluster: `snakemake --cores N`.
#
# `--config study=NAME` runs a study that has a folder of its own. DVC is asked once which stages are stale. Each stale stage becomes a rule that runs it with DVC. So Snakemake
# decides what runs in parallel, and DVC keeps dvc.lock up to date. See workflow/README.md.

import sys
from functools import partial
from pathlib import Path

sys.path[:0] = [str(workflow.basedir), str(Path(workflow.basedir) / "workflow")]

import scheduling

from megan.config import params as parameters
from megan.config import paths
from megan.errors import MeganError
from megan.stages import registry

if config and not (set(config) == {"study"} and paths.pipeline(str(config["study"]))):
    sys.exit(
        f"Snakefile: --config and --configfile ({', '.join(map(str, config))}) have no effect on the stages, except"
        " study=NAME for a study in the folder studies/NAME; edit params.yaml instead, or set values for one run with:"
        " dvc exp run -S KEY=VALUE"
    )
try:
    PARAMS = parameters.load(study=str(config.get("study", "")))
except MeganError as error:
    sys.exit(f"Snakefile: {error}")

STAGES = registry.stages(PARAMS)
# A cluster job reads this file again on its node. Its rule must exist there, even if the stage is no longer stale.
TODO = list(STAGES.values()) if workflow.remote_exec else scheduling.stale(STAGES)
WANTED = set(sys.argv) & {path for stage in STAGES.values() for path in stage.outputs}
DONE = WANTED - {path for stage in TODO for path in stage.outputs}
if not TODO or (DONE and DONE == WANTED):
    print("Snakefile: everything is up to date", file=sys.stderr)
    sys.exit(0)
if DONE:
    sys.exit(f"Snakefile: {', '.join(sorted(DONE))} is up to date, so there is no rule for it; omit it")
CORES = workflow.resource_settings.cores or 1  # on a cluster no cores are given; the profile sets threads


def outputs(stage):
    return [path if Path(path).suffix else directory(path) for path in stage.outputs]


rule all:
    default_target: True
    input:
        [path for stage in TODO for path in stage.outputs],


for STAGE in TODO:

    rule:
        name:
            STAGE.address.replace("@", "_")
        input:
            scheduling.waits_for(STAGE, TODO),
        output:
            outputs(STAGE),
        log:
            f".snakemake/logs/{PARAMS.study}/{STAGE.address.replace('@', '-')}.log",
        threads: scheduling.threads(STAGE, TODO, CORES)
        resources:
            **scheduling.resources(STAGE),
        params:
            stage=STAGE.target,
            environment=partial(scheduling.environment, STAGE),
        message:
            STAGE.address
        shell:  # evaluated when the job runs, so it cannot use STAGE
            "{params.environment} dvc --wait-for-lock repro --single-item {params.stage} > {log} 2>&1"
