# On one machine: a rule runs its stage with DVC.

from functools import partial

import captions

WANTED = set(sys.argv) & {path for stage in STAGES.values() for path in stage.outputs}
DONE = WANTED - {path for stage in TODO for path in stage.outputs}
if DONE and DONE == WANTED:
    print("Snakefile: everything is up to date", file=sys.stderr)
    sys.exit(0)
if DONE:
    sys.exit(f"Snakefile: {', '.join(sorted(DONE))} is up to date, so there is no rule for it; omit it")
CORES = workflow.resource_settings.cores or 1


def outputs(stage):
    """The page, figures, tables and verdicts are shown by `snakemake --report`."""
    flagged = [path if Path(path).suffix else directory(path) for path in stage.outputs]
    shown = [captions.KINDS.get(path.rpartition("/")[2]) for path in stage.outputs]
    return [report(path, caption="report/caption.rst", **kind) if kind else path for path, kind in zip(flagged, shown)]


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
            captions=partial(captions.read, STAGE.name, PARAMS.study) if REPORT else {},
        message:
            STAGE.address
        shell:  # evaluated when the job runs, so it cannot use STAGE
            "{params.environment} dvc --wait-for-lock repro --single-item {params.stage} > {log} 2>&1"
            " || {{ code=$?; echo '{params.stage}: failed with exit code' $code >> {log}; exit $code; }}"
