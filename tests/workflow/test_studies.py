"""A study in a folder of its own: its own variants, its own lock, and the root's stages untouched."""

import shutil

import pytest
import yaml

from megan.config import params as parameters
from tests.workflow.conftest import ROOT, Project, ran

OWN = {
    "study": "two",
    "root": "../..",
    "here": "studies/two",
    "settings": parameters.read(ROOT / "params.yaml")["studies"]["quick"],
    "variants": {
        "maml": {},
        "other": {
            "tier": "survey", "approach": "maml", "settings": {"inner": {"steps": 1}},
            "label": "a", "colour": "#000000",
        },
    },
}  # fmt: skip


@pytest.fixture
def project(tiny, spare) -> Project:
    """The tiny project with study `two`."""
    project = spare(tiny)
    folder = project.path("studies/two")
    folder.mkdir(parents=True)
    shutil.copyfile(project.path("dvc.yaml"), folder / "dvc.yaml")
    settings = {**project.params()["studies"]["quick"], "tasks": {"train_queries": 1, "test_queries": 2}}
    (folder / "params.yaml").write_text(yaml.safe_dump({**OWN, "settings": settings}, sort_keys=False))
    project.run("git add -A")
    project.run("git commit -qm two")
    return project


def test_only_its_variants_have_stages(project):
    listed = project.run("dvc stage list --name-only studies/two/dvc.yaml").split()
    assert [name.partition(":")[2] for name in listed if "@" in name] == [
        "train@maml", "train@other", "test@maml", "test@other",
    ]  # fmt: skip
    named = project.run("dvc stage list --name-only").split()
    assert [name for name in named if "@" in name] == ["train@maml", "train@n_plus_1", "test@maml", "test@n_plus_1"]


def test_its_stages_run_beside_the_root_s(project):
    """Its results, lock and experiments are its own; a changed value is one changed line."""
    told = project.run("dvc repro studies/two/dvc.yaml:train@other")
    pipeline = "studies/two/dvc.yaml:"
    assert ran(told) == [f"{pipeline}{stage}" for stage in ("config", "download", "prepare", "encoder", "train@other")]
    assert project.path("results/two/train/other/weights.safetensors").is_file()
    assert not project.path("results/quick").exists() and not project.path("dvc.lock").exists()
    assert ran(project.run("dvc repro studies/two/dvc.yaml:train@other")) == []
    project.run("git add -A")
    project.run("git commit -qm results")
    told = project.run("dvc exp run -S variants.maml.real_weight=4.0 studies/two/dvc.yaml:train@maml")
    assert ran(told) == [f"{pipeline}config", f"{pipeline}train@maml"]
    changed = project.run("git diff -U0 params.yaml").splitlines()[4:]
    assert [line for line in changed if line[0] in "+-"] == ["-    real_weight: 3.0", "+    real_weight: 4.0"]
    # DVC reads the study's pipeline in other revisions too.
    (told,) = [line for line in project.run("dvc params diff").splitlines() if "variants." in line]
    assert told.split() == ["params.yaml", "variants.maml.real_weight", "3.0", "4.0"]
