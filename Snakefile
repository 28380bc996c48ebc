# Runs the stages of dvc.yaml in parallel (`snakemake --cores N`) or on a cluster (`--profile workflow/profiles/slurm`).
#
# `--config study=NAME` runs a study that has a folder of its own. DVC is asked once which stages are stale. Each stale
# stage becomes a rule. So Snakemake decides what runs in parallel, and DVC keeps dvc.lock up to date. With `--report`
# and `--lint` every stage is a rule. See workflow/README.md.

import sys
from pathlib import Path

# workflow/Snakefile includes this file.
ROOT = Path(workflow.basedir).parent if Path(workflow.basedir).name == "workflow" else Path(workflow.basedir)
sys.path[:0] = [str(ROOT), str(ROOT / "workflow")]

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
REPORT = any(argument.partition("=")[0] == "--report" for argument in sys.argv)
# Executors of clusters are given a number of jobs and no cores.
CLUSTER = not REPORT and (workflow.remote_exec or workflow.resource_settings.nodes is not None)
if workflow.remote_exec or "--lint" in sys.argv:
    # A cluster job reads this file again on its node. Its rule must exist there, even if the stage is no longer stale.
    TODO = list(STAGES.values())
else:
    TODO = scheduling.stale(PARAMS, STAGES, CLUSTER)
if REPORT:
    if TODO:
        sys.exit(
            f"Snakefile: {', '.join(stage.address for stage in TODO)} must run before a report: snakemake --cores N"
        )
    TODO = [stage for stage in STAGES.values() if stage.name != registry.CONFIG]
if not TODO:
    print("Snakefile: everything is up to date", file=sys.stderr)
    sys.exit(0)


report: "workflow/report/workflow.rst"


include: "workflow/cluster.smk" if CLUSTER else "workflow/local.smk"


rule all:
    default_target: True
    input:
        TARGETS,
