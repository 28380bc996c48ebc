"""The pipeline as a user runs it, in throw-away repositories, compared to the last byte.

Most tests copy one finished run and look at what an engine then runs again.
"""

import csv
import io
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.workflow.conftest import VARIANTS, Project, ran, wait_for

UP_TO_DATE = "Data and pipelines are up to date."
TRAINED = "results/quick/train/maml"
FOLLOWERS = ["summary", "figure@accuracy", "figure@adaptation", "figure@convergence"]


def addresses(project: Project) -> list[str]:
    return project.run("dvc stage list --name-only").split()


def assert_clean(project: Project) -> None:
    assert project.run("dvc status").strip() == UP_TO_DATE


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


# One engine, then the other


def test_repro_makes_every_result_once(finished, spare):
    project, output = finished
    assert sorted(ran(output)) == sorted(addresses(project))
    assert_clean(project)
    for variant in VARIANTS:
        for name in ("train/{}/weights.safetensors", "train/{}/curve.csv", "test/{}/tasks.csv", "provenance/train-{}.json"):
            assert project.path(f"results/quick/{name.format(variant)}").stat().st_size > 0
    assert json.loads(project.path("results/quick/metrics.json").read_text())["variants"].keys() == set(VARIANTS)
    again = spare(project)
    before = again.content("results")
    assert ran(again.run("dvc repro")) == []
    assert again.content("results") == before


def test_git_sees_only_the_lock(finished):
    """Data and results are ignored beforehand, so DVC scatters no .gitignore files of its own."""
    project, _ = finished
    assert project.run("git status --porcelain").split() == ["??", "dvc.lock"]


def test_snakemake_makes_the_same(finished, tiny, spare):
    """From nothing; then again from DVC's cache alone, since Snakemake deletes every output first."""
    project = spare(tiny)
    project.run("snakemake --cores 2")
    assert differing(project.results(), finished[0].results()) == []
    assert_clean(project)
    assert ran(project.run("dvc repro")) == []

    before, lock = project.content("data", "results"), project.path("dvc.lock").read_bytes()
    began = time.monotonic()
    project.run("snakemake --cores 2")
    took = time.monotonic() - began
    assert differing(project.content("data", "results"), before) == []  # provenance too: nothing ran
    assert project.path("dvc.lock").read_bytes() == lock
    assert_clean(project)
    logs = project.content(".snakemake/logs")
    assert len(logs) == len(addresses(project))
    assert not [name for name, text in logs.items() if b"step" in text], "a stage ran again"
    assert took < 6 * len(logs), f"{took:.0f} s for doing nothing"


def test_snakemake_reruns_what_dvc_finds_stale(finished, spare):
    project = spare(finished[0])
    project.append("megan/report/figures/accuracy.py", "# a comment\n")
    before = project.content("results")
    project.run("snakemake --cores 2 -- results/quick/figures/accuracy.png")
    changed = differing(project.content("results"), before)
    assert set(changed) <= {f"results/quick/figures/accuracy.{kind}" for kind in ("png", "svg")}
    assert_clean(project)


def test_snakemake_fails_where_a_stage_fails(finished, spare):
    """Exit code, the stage's own message, and the other variant's result all the same."""
    project = spare(finished[0])
    project.edit_params(lambda document: document["variants"]["maml"].update(real_weight=2.0))
    project.edit_params(lambda document: document["variants"]["n_plus_1"].update(real_weight=2.0))
    source = "megan/meta/train.py"
    text = project.path(source).read_text(encoding="utf-8")
    broken = text.replace("    stage = f", "    assert name != 'maml', 'broken on purpose'\n    stage = f", 1)
    assert broken != text
    project.path(source).write_text(broken, encoding="utf-8")
    output = project.run("snakemake --cores 2", expect=1)
    assert "broken on purpose" in output
    assert project.path("results/quick/test/n_plus_1/tasks.csv").exists()
    stale = json.loads(project.run("dvc status --json"))
    assert "train@maml" in stale and not {"train@n_plus_1", "test@n_plus_1"} & stale.keys()


# What a change runs again


@pytest.mark.parametrize(
    ("source", "stale"),
    [
        ("megan/report/figures/accuracy.py", {"figure@accuracy"}),
        ("megan/report/summary.py", {"summary"}),
        ("megan/report/style.py", {"figure@accuracy", "figure@adaptation", "figure@convergence"}),
        ("megan/meta/test.py", {f"test@{variant}" for variant in VARIANTS}),
        ("megan/meta/train.py", {f"train@{variant}" for variant in VARIANTS}),
        ("megan/ops/native.cpp", {f"{stage}@{variant}" for stage in ("train", "test") for variant in VARIANTS}),
        ("megan/params.py", set()),
        ("megan/settings.py", set()),
        ("megan/report/__init__.py", set()),
    ],
)
def test_edited_source_makes_stale_only_what_uses_it(finished, spare, source, stale):
    project = spare(finished[0])
    project.append(source, "\n// a comment\n" if source.endswith("cpp") else "\n# a comment\n")
    assert json.loads(project.run("dvc status --json")).keys() == stale


def test_edited_figure_draws_only_itself(finished, spare):
    project = spare(finished[0])
    project.append("megan/report/figures/convergence.py", "\n# a comment\n")
    assert ran(project.run("dvc repro")) == ["figure@convergence"]


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        (lambda params: params["styles"]["maml"].update(colour="#000000"), {"summary", *FOLLOWERS}),
        (lambda params: params["studies"]["quick"]["test"].update(tasks=9), {"summary", *(f"test@{name}" for name in VARIANTS)}),
        (lambda params: params["studies"]["quick"]["tiers"]["smoke"].update(meta_steps=7), {"summary"}),
        (lambda params: params["studies"]["omniglot"]["train"].update(meta_batch=7), set()),
        (lambda params: params["studies"]["quick"]["encoder"].update(seed=7), {"summary", "encoder"}),
    ],
    ids=["style", "test tasks", "length of a tier of no kept variant", "another study", "encoder"],
)
def test_edited_parameter_makes_stale_only_what_reads_it(finished, spare, change, stale):
    project = spare(finished[0])
    project.edit_params(change)
    assert json.loads(project.run("dvc status --json")).keys() == stale


def test_experiment_runs_one_variant_and_what_follows(finished, spare):
    project = spare(finished[0])
    project.run("git add -A")
    project.run("git commit -qm results")
    before = project.content("results")
    output = project.run("dvc exp run -S variants.n_plus_1.real_weight=1.0 -n lighter")
    assert sorted(ran(output)) == sorted(["train@n_plus_1", "test@n_plus_1", *FOLLOWERS])
    assert differing(project.content(TRAINED), {name: content for name, content in before.items() if name.startswith(TRAINED)}) == []
    assert differing(project.content("results"), before)
    assert_clean(project)

    rows = list(csv.DictReader(io.StringIO(project.run("dvc exp show --csv"))))
    mine = next(row for row in rows if row["Experiment"] == "lighter")
    accuracy = "variants.n_plus_1.accuracy"
    assert mine[accuracy] and mine["variants.n_plus_1.real_weight"] == "1.0"
    metrics = [name for name in mine if name.endswith((".accuracy", ".ci95_seeds", ".ci95_tasks", ".seeds", ".diverged", "validation_accuracy"))]
    assert accuracy in metrics and len(metrics) <= 1 + 5 * len(VARIANTS)
    shown = json.loads(project.run("dvc exp show --json"))
    assert any(experiment.get("name") == "lighter" for base in shown for group in base["experiments"] or [] for experiment in group["revs"])


# Kills. The training is long enough to be met half-way, and keeps a checkpoint of each step.


@pytest.fixture(scope="module")
def longer(finished, tmp_path_factory) -> Project:
    """Ready to train maml for some seconds. Only to be copied."""
    project = finished[0].copy(tmp_path_factory.mktemp("longer") / "project")

    def change(document):
        document["studies"]["quick"]["tiers"]["headline"]["meta_steps"] = 40

    project.edit_params(change)
    return project


@pytest.fixture(scope="module")
def undisturbed(longer, tmp_path_factory) -> dict[str, bytes]:
    project = longer.copy(tmp_path_factory.mktemp("undisturbed") / "project")
    project.run("dvc repro -s train@maml")
    return project.content(TRAINED)


def halfway(project: Project, beside: Path | None = None) -> int:
    """Wait until training has saved some steps. Returns the stage's pid."""
    resume = project.path(".resume/quick/train@maml")

    def rows() -> int:
        return max((curve.read_text().count("\n") for curve in resume.glob("*/curve.csv")), default=0)

    wait_for(lambda: rows() >= 10, "a checkpoint")
    return int((resume / "holder.pid").read_text())


def assert_trained(project: Project, undisturbed: dict[str, bytes]) -> None:
    assert differing(project.content(TRAINED), undisturbed) == []
    assert "train@maml" not in json.loads(project.run("dvc status --json"))
    assert not list(project.path(".resume").rglob("*.safetensors")), "finished work left its state"


def test_killed_stage_goes_on(longer, undisturbed, spare):
    project = spare(longer)
    command = "dvc repro -s train@maml"
    first = project.start(command)
    os.kill(halfway(project), signal.SIGKILL)
    assert first.wait(60) != 0
    assert "going on from meta-step" in project.run(command)
    assert_trained(project, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stage_stops_when_asked(longer, undisturbed, spare, number):
    project = spare(longer)
    command = "dvc repro -s train@maml"
    first = project.start(command)
    pid = halfway(project)
    began = time.monotonic()
    os.kill(pid, number)
    output, _ = first.communicate(timeout=60)
    assert time.monotonic() - began < 15
    assert first.returncode != 0
    (line,) = [line for line in output.splitlines() if "stopped by" in line]
    assert f"train@maml: stopped by {number.name}; state saved" in line
    assert "Traceback" not in output
    assert not project.path(TRAINED).exists()
    assert "going on from meta-step" in project.run(command)
    assert_trained(project, undisturbed)


def test_orphan_of_a_killed_dvc_is_waited_for(longer, undisturbed, spare):
    """The stage goes on alone; the rerun says whom it waits for, and takes the result."""
    project = spare(longer)
    command = "dvc repro -s train@maml"
    first = project.start(command)
    stage = halfway(project)
    first.kill()
    first.wait()
    assert psutil.pid_exists(stage)
    output = project.run(command)
    assert f"process {stage} is at work on this; waiting" in output
    assert "another process has just finished this; taking its result" in output
    assert "train maml:" not in output, "trained twice"
    assert_trained(project, undisturbed)


def test_jobs_of_a_killed_snakemake_are_waited_for(longer, undisturbed, spare):
    """Its DVC processes go on; a new snakemake deletes nothing before they have ended."""
    project = spare(longer)
    command = f"snakemake --cores 2 -- {TRAINED}"
    first = project.start(command)
    stage = halfway(project)
    first.kill()
    first.wait()
    assert psutil.pid_exists(stage)
    output = project.run(command)
    assert "dvc is at work here (process" in output
    assert_trained(project, undisturbed)
    log = project.path(".snakemake/logs/quick/train-maml.log").read_text()
    assert "train maml:" not in log, "trained twice"


def test_snakemake_and_its_jobs_killed(longer, undisturbed, spare):
    """As when a machine goes down: no lock and no half file is in the way."""
    project = spare(longer)
    command = f"snakemake --cores 2 -- {TRAINED}"
    first = project.start(command)
    halfway(project)
    family = [*psutil.Process(first.pid).children(recursive=True), psutil.Process(first.pid)]
    for process in family:
        process.kill()
    first.wait()
    psutil.wait_procs(family, timeout=30)
    project.run(command)
    log = project.path(".snakemake/logs/quick/train-maml.log").read_text()
    assert "going on from meta-step" in log
    assert_trained(project, undisturbed)


def test_changed_parameters_resume_nothing(longer, spare):
    project = spare(longer)
    first = project.start("dvc repro -s train@maml")
    os.kill(halfway(project), signal.SIGKILL)
    first.wait(60)
    project.edit_params(lambda document: document["studies"]["quick"]["tiers"]["headline"].update(meta_steps=4))
    assert "going on" not in project.run("dvc repro -s train@maml")
    assert "train@maml" not in json.loads(project.run("dvc status --json"))


# Omniglot


def test_no_network_and_no_mirror(tiny, spare):
    """One line that says which files to put where, and nothing half made."""
    project = spare(tiny)
    project.edit_params(lambda document: document.update(study="omniglot"))
    closed = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}
    output = project.run("dvc repro", expect=255, **closed, NO_PROXY="", no_proxy="")
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("megan download: ")]
    for part in ("images_background.zip", "images_evaluation.zip", "data/downloads/omniglot/", "MEGAN_MIRROR"):
        assert part in line
    assert not project.path("data/raw/omniglot").exists()


MIRROR = os.environ.get("MEGAN_MIRROR", "")


@pytest.mark.skipif(not MIRROR, reason="set MEGAN_MIRROR to a folder or address that holds Omniglot's two archives")
@pytest.mark.parametrize("study", ["omniglot", "omniglot_standard"])
def test_omniglot_to_the_end(tiny, spare, study):
    project = spare(tiny)
    project.environment = project.environment | {"MEGAN_MIRROR": MIRROR}
    project.edit_params(lambda document: document.update(study=study))
    assert sorted(ran(project.run("dvc repro"))) == sorted(addresses(project))
    splits = json.loads(project.path(f"data/prepared/{study}/splits.json").read_text())["splits"]
    assert sum(split["character_count"] for split in splits.values()) == 964 + 659
    metrics = json.loads(project.path(f"results/{study}/metrics.json").read_text())
    assert all(variant["diverged"] == 0 and variant["accuracy"] > 0 for variant in metrics["variants"].values())
    assert_clean(project)
