# On a cluster: a job computes a stage on a node, and a rule on this machine records its result in DVC (job.py says why).
# Short stages run on this machine, with DVC.
#
# The outputs of these rules are marks, not results. Snakemake removes the outputs of a rule before it runs, and a job of
# an earlier run could be writing or reading a result at that moment.

import os

import needs
import preemption

SLURM = sys.modules.get("snakemake_executor_plugin_slurm")  # Snakemake has imported its plugins
if SLURM and not workflow.remote_exec:
    preemption.queue_again(SLURM.Executor)

LONGEST = scheduling.longest(workflow.resource_settings.default_resources)
GPU = os.environ.get("MEGAN_DEVICE") != "cpu"
THREADS = int(os.environ.get("MEGAN_THREADS") or 0)
JOB = f"{sys.executable} {ROOT / 'workflow' / 'job.py'}"
if WANTED := set(sys.argv) & {path for stage in STAGES.values() for path in stage.outputs}:
    sys.exit(f"Snakefile: on a cluster name rules, such as train_maml, instead of {', '.join(sorted(WANTED))}")


def mark(stage, kind="recorded"):
    return f".snakemake/stages/{PARAMS.study}/{stage.address.replace('@', '-')}.{kind}"


def log_of(stage, kind=""):
    return f".snakemake/logs/{PARAMS.study}/{stage.address.replace('@', '-')}{kind}.log"


def marks_read(stage):
    """On its node a job finds that what it reads is there; the marks of stages that were up to date are not."""
    return [] if workflow.remote_exec else [mark(maker) for maker in scheduling.makers(stage, TODO)]


TARGETS = [mark(stage) for stage in TODO]

for STAGE in [stage for stage in TODO if stage.name in needs.JOBS]:
    NEEDS = needs.needs(PARAMS, STAGE, LONGEST, GPU, THREADS)

    rule:
        name:
            "compute_" + STAGE.address.replace("@", "_")
        input:
            marks_read(STAGE),
        output:
            mark(STAGE, "computed"),
        log:
            log_of(STAGE),
        # A job runs snakemake on its node, twice over; each would try again too, also while its job is being ended.
        retries: 0 if workflow.remote_exec else NEEDS.retries
        threads: NEEDS.threads
        resources:
            **needs.resources(NEEDS),
        params:
            command=f"{JOB} compute {PARAMS.study} {STAGE.address}",
            stage=STAGE.address,
            threads=NEEDS.threads,  # also where a node shows fewer, since it decides the rounding of some stages
        message:
            STAGE.address
        shell:
            "MEGAN_THREADS={params.threads} {params.command} > {log} 2>&1 && touch {output}"
            " || {{ code=$?; echo '{params.stage}: failed with exit code' $code >> {log}; exit $code; }}"

    rule:
        name:
            STAGE.address.replace("@", "_")
        input:
            mark(STAGE, "computed"),
        output:
            mark(STAGE),
        log:
            log_of(STAGE, "-record"),
        localrule: True
        params:
            command=f"{JOB} record {PARAMS.study} {STAGE.address}",
            stage=STAGE.address,
        message:
            "record " + STAGE.address
        shell:
            "{params.command} > {log} 2>&1 && touch {output}"
            " || {{ code=$?; echo '{params.stage}: failed with exit code' $code >> {log}; exit $code; }}"


for STAGE in [stage for stage in TODO if stage.name not in needs.JOBS]:

    rule:
        name:
            STAGE.address.replace("@", "_")
        input:
            marks_read(STAGE),
        output:
            mark(STAGE),
        log:
            log_of(STAGE),
        localrule: True
        params:
            stage=STAGE.target,
        message:
            STAGE.address
        shell:
            "dvc --wait-for-lock repro --single-item {params.stage} > {log} 2>&1 && touch {output}"
            " || {{ code=$?; echo '{params.stage}: failed with exit code' $code >> {log}; exit $code; }}"


onerror:
    for stage in TODO:
        scheduling.explain(Path(log_of(stage)))
