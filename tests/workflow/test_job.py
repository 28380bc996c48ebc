"""The two halves of a stage on a cluster: computed without DVC, and recorded if it is what the present files make."""

import shutil
import sys

from tests.workflow.test_end_to_end import differing, status

JOB = f"{sys.executable} workflow/job.py"
ENCODER = "results/quick/encoder"


def test_computed_and_recorded_and_refused(prepared, spare):
    project = spare(prepared[0])
    before = project.content(ENCODER)
    assert "its result stands already" in project.run(f"{JOB} compute quick encoder", SLURM_JOB_ID="17")
    shutil.rmtree(project.path(ENCODER))
    project.path("dvc.lock").write_text(project.path("dvc.lock").read_text().replace("  encoder:\n", "  gone:\n"))
    told = project.run(f"{JOB} compute quick encoder", SLURM_JOB_ID="17", SLURMD_NODENAME="n3")
    assert "encoder of quick: job 17 on n3" in told.splitlines()[0]
    assert differing(project.content(ENCODER), before) == []
    assert "encoder" in status(project), "a job has asked DVC"
    project.run(f"{JOB} record quick encoder")
    assert "encoder" not in status(project)

    source = project.path("workflow/job.py")
    source.write_text(source.read_text(encoding="utf-8").replace("SHOWN_WITHIN = 60.0", "SHOWN_WITHIN = 0.0"))
    project.append("megan/stages/encoder.py", "\n# a comment\n")
    told = project.run(f"{JOB} record quick encoder", expect=1)
    assert told.startswith(f"record encoder: {ENCODER} was not made with the present parameters, inputs and code")
    assert "encoder" in status(project)

    project.edit_params(lambda document: document["studies"]["quick"]["encoder"].update(steps=3))
    told = project.run(f"{JOB} record quick encoder", expect=1)
    assert told.startswith(f"record encoder: {ENCODER} is not recorded: ") and "run snakemake again" in told


def test_a_job_does_not_try_again_by_itself(prepared, spare):
    """Snakemake on a node, as its plugin for Slurm starts it. Only the one that submits jobs tries again."""
    project = spare(prepared[0])
    project.append("megan/stages/gan.py", "\nraise SystemExit(7)\n")
    command = "snakemake --mode remote --cores 1 --force --allowed-rules compute_gan --target-jobs compute_gan:"
    told = project.run(command, expect=1)
    assert "Error in rule compute_gan" in told and "Trying to restart" not in told
    assert "gan: failed with exit code 7" in project.path(".snakemake/logs/quick/gan.log").read_text()


def test_what_a_job_finished_for_a_killed_snakemake_is_recorded(prepared, spare):
    """The result is there and DVC does not know of it; a new snakemake computes nothing."""
    project = spare(prepared[0])
    before = project.content(ENCODER, "results/quick/provenance/encoder.json")
    project.path("dvc.lock").write_text(project.path("dvc.lock").read_text().replace("  encoder:\n", "  gone:\n"))
    assert "encoder" in status(project)
    told = project.run(f"snakemake --cores 1 -- {ENCODER}")
    assert "encoder was finished by a job of an earlier run; recording it" in told and "up to date" in told
    assert project.content(ENCODER, "results/quick/provenance/encoder.json") == before
    assert "encoder" not in status(project)
