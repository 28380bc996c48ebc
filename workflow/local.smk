# On one machine: a rule runs its stage with DVC.

from functools import partial

WANTED = set(sys.argv) & {path for stage in STAGES.values() for path in stage.outputs}
DONE = WANTED - {path for stage in TODO for path in stage.outputs}
if DONE and DONE == WANTED:
    print("Snakefile: everything is up to date", file=sys.stderr)
    sys.exit(0)
if DONE:
    sys.exit(f"Snakefile: {', '.join(sorted(DONE))} is up to date, so there is no rule for it; omit it")
CORES = workflow.resource_settings.cores or 1


def outputs(stage):
    return [path if Path(path).suffix else directory(path) for path in stage.outputs]


TARGETS = [path for stage in TODO for path in stage.outputs]

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
            " || {{ code=$?; echo '{params.stage}: failed with exit code' $code >> {log}; exit $code; }}"
