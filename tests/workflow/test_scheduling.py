"""Snakemake's jobs follow from DVC's stages, with their share of the machine."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo

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


def test_profiles_have_only_known_options(original):
    """Snakemake's own parser reads the options; the executor needs its plugin and is left out."""
    from snakemake.cli import get_argument_parser

    profile = yaml.safe_load(original.path("workflow/profiles/slurm/config.yaml").read_text(encoding="utf-8"))
    assert profile.pop("executor") == "slurm"
    known = {option.lstrip("-") for action in get_argument_parser()._actions for option in action.option_strings}
    assert set(profile) <= known
