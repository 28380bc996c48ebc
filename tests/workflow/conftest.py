"""Throw-away repositories: the project's files, shrunk to seconds, under git and DVC of their own."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from dvc.utils.serialize import dump_yaml

from megan.config import params as parameters

ROOT = Path(__file__).parents[2]
VARIANTS = ("maml", "n_plus_1")  # those that a shrunk project keeps: without and with a generator


@dataclass
class Project:
    """A repository of its own, with the environment that its commands run in."""

    folder: Path
    environment: dict[str, str]
    started: list[subprocess.Popen] = field(default_factory=list)

    def run(self, command: str, expect: int | None = 0, **environment: str) -> str:
        """Run a command to its end. Returns stdout and stderr together, after checking the exit code."""
        done = subprocess.run(
            command.split(), cwd=self.folder, env=self.environment | environment, timeout=300,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert expect is None or done.returncode == expect, f"{command}: exit code {done.returncode}\n{done.stdout}"
        return done.stdout

    def start(self, command: str, log: Path | None = None) -> subprocess.Popen:
        """Start a command and leave it running, its output in `log`."""
        with open(log or os.devnull, "w", encoding="utf-8") as file:
            process = subprocess.Popen(
                command.split(), cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )  # fmt: skip
        self.started.append(process)
        return process

    def path(self, name: str) -> Path:
        return self.folder / name

    def params(self) -> dict[str, Any]:
        return yaml.safe_load(self.path("params.yaml").read_text(encoding="utf-8"))

    def edit_params(self, change: Callable[[dict[str, Any]], object]) -> None:
        document = self.params()
        change(document)
        dump_yaml(self.path("params.yaml"), document)  # in DVC's style, so that its changes are single lines

    def append(self, name: str, text: str) -> None:
        with open(self.path(name), "a", encoding="utf-8") as file:
            file.write(text)

    def content(self, *names: str) -> dict[str, bytes]:
        """Every file below the named folders, or the named files, by path."""
        found = {}
        for name in names:
            path = self.path(name)
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file() and file.name != ".snakemake_timestamp":
                    found[str(file.relative_to(self.folder))] = file.read_bytes()
        return found

    def lock(self) -> dict[str, Any]:
        """What DVC has recorded of each stage."""
        return yaml.safe_load(self.path("dvc.lock").read_text(encoding="utf-8"))["stages"]

    def results(self) -> dict[str, bytes]:
        """All that must repeat: everything made except provenance, which tells times and hosts, also in the page."""
        made = self.content("data/raw", "data/prepared", "results")
        return {
            name: re.sub(b"<!-- provenance -->.*<!-- end of provenance -->", b"", content, flags=re.DOTALL)
            for name, content in made.items()
            if "/provenance/" not in name and not name.startswith("results/README")
        }

    def copy(self, folder: Path) -> "Project":
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder, self.environment)

    def end(self) -> None:
        """Leave nothing running: what was started here, and a stage that outlived it."""
        for process in self.started:
            process.kill()
            process.wait()
        for holder in self.folder.glob(".resume/*/*/holder.pid"):
            with contextlib.suppress(psutil.Error):
                stage = psutil.Process(int(holder.read_text()))
                if stage.cwd() == str(self.folder):
                    stage.kill()


def ran(output: str) -> list[str]:
    """The stages that DVC says it ran, in order."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage ")]


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 90, every: float = 0.02) -> Any:
    """The first true value of `condition`, which is asked for `every` so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(every)
    raise AssertionError(f"waited {seconds:g} s for {what}")


def shrink(document: dict[str, Any]) -> None:
    """Two variants and a few steps of everything, in every study."""
    document.update(parameters.resolved(document))
    document["variants"] = {name: document["variants"][name] for name in VARIANTS}
    for study in document["studies"].values():
        study["tasks"].update(train_queries=1, test_queries=2)
        study["inner"].update(steps=2, test_steps=2)
        for network in ("encoder", "judge"):
            study[network].update(steps=2, batch_size=8, stem_stride=2, validation_drawers=1)
        study["gan"].update(dataset="glyphs", images=[4, 2], classes=2, updates=2, batch_size=4, seeds=[0])
        study["train"].update(meta_batch=2, log_every=2, validate_every=3, validation_tasks=4, checkpoint_every=1)
        for tier in study["tiers"].values():
            tier.update(meta_steps=6, seeds=[0, 1], test_tasks=8)
        study["test"].update(sample_tasks=4, draws=2)
    document["variant_defaults"].update(fake_steps=1)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One thread, one compiled kernel for all, and nothing read from or left in the user's own settings."""
    base = tmp_path_factory.mktemp("environment")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MEGAN_", "DVC_", "GIT_", "SNAKEMAKE_"))
    }
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MEGAN_THREADS": "1",
        "MEGAN_DEVICE": "cpu",
        "MEGAN_CACHE": str(base / "kernels"),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(base / "dvc"),
        "DVC_GLOBAL_CONFIG_DIR": str(base / "dvc-settings"),
        "DVC_SYSTEM_CONFIG_DIR": str(base / "dvc-settings"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_NAME": "name" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "email@example.org" for who in ("AUTHOR", "COMMITTER")},
    }  # fmt: skip


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Project:
    """The project as it stands, params.yaml untouched, without results. Only to be read."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split("\0")  # fmt: skip
    if "dvc.yaml" not in listed:
        pytest.skip("these tests copy the files that git lists, and this is no git checkout of the project")
    folder = tmp_path_factory.mktemp("original") / "project"
    for name in filter(None, listed):
        # A file may have gone since; a lock would tell what another study's results were made from.
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    project = Project(folder, environment)
    _commit(project)
    return project


@pytest.fixture(scope="session")
def tiny(original: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The shrunk project with the embedded glyphs, no study in a folder, nothing made yet. Only to be copied."""
    project = original.copy(tmp_path_factory.mktemp("tiny") / "project")
    project.edit_params(shrink)
    project.edit_params(lambda document: document.update(study="quick"))
    shutil.rmtree(project.path("studies"))  # they name variants that are no longer there
    project.run("git commit -qam tiny")
    return project


@pytest.fixture(scope="session")
def prepared(tiny: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """The shrunk project up to the encoder, and what `dvc repro` printed. Only to be copied."""
    project = tiny.copy(tmp_path_factory.mktemp("prepared") / "project")
    return project, project.run("dvc repro encoder")


@pytest.fixture(scope="session")
def finished(prepared: tuple[Project, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """The shrunk project after `dvc repro`, and what all of that printed. Only to be copied."""
    project = prepared[0].copy(tmp_path_factory.mktemp("finished") / "project")
    return project, prepared[1] + project.run("dvc repro")


@pytest.fixture
def spare(tmp_path: Path) -> Iterator[Callable[[Project], Project]]:
    """Makes copies whose processes end with the test."""
    made: list[Project] = []

    def copy(project: Project) -> Project:
        made.append(project.copy(tmp_path / f"project{len(made)}"))
        return made[-1]

    yield copy
    for project in made:
        project.end()


def _commit(project: Project) -> None:
    project.run("git init -q")
    project.run("git add -A")
    project.run("git commit -qm project")
