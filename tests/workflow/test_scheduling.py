"""Snakemake's jobs follow from DVC's stages, with their share of the machine."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo

from tests.workflow.conftest import VARIANTS

Graph = dict[str, dict[str, Any]]
CORES = 5


@pytest.fixture(scope="module", params=["quick", "omniglot"])
def project(request, original, tmp_path_factory) -> Any:
    """Two studies, so that a path which names one of them shows."""
    project = original.copy(tmp_path_factory.mktemp("graph") / "project")
    project.edit_params(lambda document: document.update(study=request.param))
    return project


@pytest.fixture(scope="module")
def dvc(project) -> Graph:
    with Repo(str(project.folder)) as repo:
        return {
            stage.name: {
                "inputs": sorted(dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)),
                "outputs": sorted(out.def_path for out in stage.outs),
            }
            for stage in repo.index.stages
            if stage.path_in_repo == "dvc.yaml"
        }


@pytest.fixture(scope="module")
def snakemake(project) -> Graph:
    program = Path(__file__).with_name("snakemake_graph.py")
    return json.loads(project.run(f"{sys.executable} {program} {CORES}").splitlines()[-1])


def test_a_job_for_each_stage_that_waits_for_what_it_reads(dvc, snakemake):
    """`config` has run before, so that DVC could say what is stale."""
    assert set(snakemake) == set(dvc) - {"config"}
    made = {output for job in snakemake.values() for output in job["outputs"]}
    for address, job in snakemake.items():
        assert job["outputs"] == dvc[address]["outputs"], address
        read = {out for out in made for path in dvc[address]["inputs"] if out == path or out.startswith(f"{path}/")}
        assert set(job["inputs"]) == read, address


def test_jobs_share_the_cores(snakemake, project):
    variants = len(project.params()["variants"])
    trainings = [job for address, job in snakemake.items() if address.startswith("train@")]
    assert len(trainings) == variants
    assert all(job["gpu"] == 1 for job in trainings)
    assert {job["threads"] for job in trainings} == {max(1, CORES // variants)}
    assert snakemake["encoder"]["threads"] == CORES


@pytest.mark.parametrize("option", ["--config study=omniglot", "--configfile changed.yaml"])
def test_config_is_refused(original, spare, option):
    project = spare(original)
    project.append("changed.yaml", "study: omniglot\n")
    output = project.run(f"snakemake --cores 1 {option}", expect=1)
    (line,) = [line for line in output.splitlines() if "profile" not in line]
    assert line.startswith("Snakefile: --config") and "params.yaml" in line and "dvc exp run -S" in line


def test_wrong_parameters_are_refused(original, spare):
    project = spare(original)
    project.edit_params(lambda document: document.update(study="quik"))
    output = project.run("snakemake --cores 1", expect=1)
    (line,) = [line for line in output.splitlines() if "profile" not in line]
    assert line == "Snakefile: params.yaml: unknown study 'quik'; did you mean 'quick'?"


PROFILES = {"slurm": "slurm", "pbs": "cluster_generic", "kubernetes": "cluster_generic"}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_by_a_dry_run(tiny, spare, profile):
    """Two rules for each stage that is worth a job, one for the others, with what each needs."""
    pytest.importorskip(f"snakemake_executor_plugin_{PROFILES[profile]}", reason="pip install -e '.[cluster]'")
    output = spare(tiny).run(f"snakemake --profile workflow/profiles/{profile} -n", MEGAN_THREADS="3")
    jobs = {f"{stage}_{variant}" for stage in ("train", "test") for variant in VARIANTS} | {"encoder", "judge", "gan"}
    listed = {line.split()[0] for line in output.splitlines() if len(line.split()) == 2 and line.endswith(" 1")}
    assert {name for name in listed if name.startswith("compute_")} == {f"compute_{name}" for name in jobs}
    assert listed >= jobs | {"download", "prepare", "search", "samples", "summary", "claims", "report", "all"}


def test_a_job_for_kubernetes(original, tmp_path):
    """What submit.sh gives to a made-up kubectl: the script, and what the job needs."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\ncat > {tmp_path}/manifest; echo job.batch/megan-x\n")
    kubectl.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{original.environment['PATH']}"}
    submit = "sh workflow/profiles/kubernetes/submit.sh 4 9000 90"
    assert original.run(f"{submit} 1 /s/job.sh", **path) == "job.batch/megan-x\n"
    job = yaml.safe_load((tmp_path / "manifest").read_text())["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert job["activeDeadlineSeconds"] == 90 * 60 and "sh /s/job.sh &" in container["command"][2]
    assert container["resources"] == {
        "requests": {"cpu": "4", "memory": "9000M"},
        "limits": {"memory": "9000M", "nvidia.com/gpu": "1"},
    }
    assert container["workingDir"] == str(original.folder)
    original.run(f"{submit} 0 /s/job.sh", **path)
    assert "nvidia" not in (tmp_path / "manifest").read_text()


@pytest.mark.parametrize(
    ("system", "program", "told", "state"),
    [
        ("pbs", "qstat", "    job_state = R", "running"),
        ("pbs", "qstat", "    job_state = F\n    Exit_status = 0", "success"),
        ("pbs", "qstat", "    job_state = F\n    Exit_status = 271", "failed"),
        ("pbs", "qstat", "", "failed"),
        ("kubernetes", "kubectl", "", "running"),
        ("kubernetes", "kubectl", "SuccessCriteriaMet Complete", "success"),
        ("kubernetes", "kubectl", "FailureTarget Failed", "failed"),
    ],
)
def test_what_became_of_a_job(original, tmp_path, system, program, told, state):
    (tmp_path / "told").write_text(f"{told}\n")
    (tmp_path / program).write_text(f"#!/bin/sh\ncat {tmp_path}/told\n")
    (tmp_path / program).chmod(0o755)
    path = {"PATH": f"{tmp_path}:{original.environment['PATH']}"}
    assert original.run(f"sh workflow/profiles/{system}/status.sh 7", **path) == f"{state}\n"
