"""The pipeline as a user runs it, in throw-away repositories, compared to the last byte.

Most tests copy one finished run and look at what an engine then runs again.
"""

import contextlib
import csv
import io
import json
import os
import signal
import time
from typing import Any

import psutil
import pytest
from dvc.repo import Repo

from tests.workflow.conftest import VARIANTS, Project, ran, wait_for

TRAINED = "results/quick/train/maml"
TRAIN = "dvc repro -s train@maml"
SCHEDULE = f"snakemake --cores 2 -- {TRAINED}"
LOG = ".snakemake/logs/quick/train-maml.log"
FOLLOWERS = ["samples", "summary", "claims", "report"]  # of any meta-test


def addresses(project: Project) -> list[str]:
    return project.run("dvc stage list --name-only").split()


def status(project: Project) -> set[str]:
    """Addresses that `dvc status` reports, without the seconds that a process takes to start."""
    with contextlib.chdir(project.folder), Repo() as repo:
        return set(repo.status())


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


# One engine, then the other


def test_repro_makes_every_result_once(finished, spare):
    project, output = finished
    assert sorted(ran(output)) == sorted(addresses(project))
    assert project.run("dvc status").strip() == "Data and pipelines are up to date."
    for variant in VARIANTS:
        for name in (
            "train/{}/weights.safetensors",
            "train/{}/curve.csv",
            "test/{}/tasks.csv",
            "provenance/train-{}.json",
        ):
            assert project.path(f"results/quick/{name.format(variant)}").stat().st_size > 0
    assert json.loads(project.path("results/quick/metrics.json").read_text()).keys() >= set(VARIANTS)
    again = spare(project)
    before = again.content("results")
    assert ran(again.run("dvc repro")) == []
    assert again.content("results") == before


def test_git_sees_only_the_lock(finished):
    """Data and results are ignored beforehand, so DVC scatters no .gitignore files of its own."""
    project, _ = finished
    assert project.run("git status --porcelain").split() == ["??", "dvc.lock"]


def test_snakemake_makes_the_same(finished, prepared, spare):
    """From the encoder on; then again from DVC's cache alone, since Snakemake deletes every output first."""
    project = spare(prepared[0])
    project.run("snakemake --cores 2")
    assert differing(project.results(), finished[0].results()) == []
    assert status(project) == set()
    assert ran(project.run("dvc repro")) == []

    before, lock = project.content("data", "results"), project.lock()
    project.append("megan/report/figures/accuracy.py", "\n# a comment\n")
    output = project.run("snakemake --cores 2")
    assert "1 of 2 steps" in output, "only the figures are drawn again"
    # The same to the last byte, provenance with its times included: nothing else ran.
    assert differing(project.content("data", "results"), before) in ([], ["results/quick/figures/record.json"])
    assert {address for address, entry in project.lock().items() if entry != lock[address]} == {"report"}
    assert status(project) == set()
    assert "Snakefile: everything is up to date" in project.run("snakemake --cores 2")


def test_snakemake_fails_where_a_stage_fails(prepared, spare):
    """Exit code, the stage's own message, and the other variant's result all the same."""
    project = spare(prepared[0])
    source = project.path("megan/stages/train.py")
    text = source.read_text(encoding="utf-8")
    broken = text.replace(
        "    workers = setup.workers(job.params)",
        "    assert job.item != 'maml', 'broken on purpose'\n    workers = setup.workers(job.params)",
        1,
    )
    assert broken != text
    source.write_text(broken, encoding="utf-8")
    output = project.run("snakemake --cores 2 -- results/quick/train/maml results/quick/train/n_plus_1", expect=1)
    assert "broken on purpose" in output
    stale = status(project)
    assert "train@maml" in stale and "train@n_plus_1" not in stale
    assert project.path("results/quick/train/n_plus_1/curve.csv").exists()


# What a change runs again


def test_edited_source_makes_stale_only_what_uses_it(finished, spare):
    project = spare(finished[0])
    tests = {f"test@{variant}" for variant in VARIANTS}
    trainings = {f"train@{variant}" for variant in VARIANTS}
    cases = {
        "megan/report/figures/accuracy.py": {"report"},
        "megan/report/tables.py": {"summary", "report"},
        "megan/report/statistics.py": {"search", "summary", "claims", "report"},
        "megan/report/claims/decide.py": {"claims", "report"},
        "megan/report/page/templates/page.html": {"report"},
        "megan/realism/measures.py": tests | {"samples", "gan"},
        "megan/gan/quality.py": {"gan"},
        "megan/stages/test.py": tests,
        "megan/stages/train.py": trainings,
        "megan/ops/native.cpp": tests | trainings | {"gan"},
        "megan/stages/encoder.py": {"encoder", "judge"},
        "megan/data/fetch.py": {"download", "prepare", "gan"},
        "megan/config/params.py": {"config"},
        "megan/runs/checkpoint.py": set(),
        "megan/record/writing.py": set(),
    }
    assert status(project) == set()
    for source, stale in cases.items():
        before = project.path(source).read_bytes()
        project.append(source, "\n// a comment\n" if source.endswith("cpp") else "\n# a comment\n")
        assert status(project) == stale, source
        project.path(source).write_bytes(before)


def test_edited_parameter_makes_stale_only_what_reads_it(finished, spare):
    project = spare(finished[0])
    everything = set(addresses(project))
    tests, trainings = ({f"{stage}@{variant}" for variant in VARIANTS} for stage in ("test", "train"))
    told = {"summary", "claims", "report"}  # each shows lengths and seeds
    cases = [
        ("variants.maml.colour", "#000000", {"summary", "report"}),
        ("studies.quick.test.sample_tasks", 5, tests | {"report"}),
        ("studies.quick.train.learning_rate", 0.003, trainings | {"search", "report"}),
        ("studies.quick.tiers.survey.meta_steps", 7, told),
        ("studies.quick.tiers.headline.test_tasks", 9, told | tests),
        ("studies.quick.encoder.seed", 7, {"encoder", "report"}),
        ("studies.quick.judge.seed", 7, {"judge", "report"}),
        ("studies.quick.gan.updates", 3, {"gan", "report"}),
        ("studies.quick.data.split_seed", 7, {"prepare", "report"} | trainings),
        ("studies.omniglot.train.meta_batch", 7, set()),
        ("claims.level", 0.01, {"claims", "report"}),
        ("variants.n_plus_1.real_weight", 7.0, told | {"search", "samples", "train@n_plus_1", "test@n_plus_1"}),
        ("study", "omniglot", everything - {"config"}),
    ]
    before = project.path("params.yaml").read_bytes()
    for key, value, stale in cases:

        def change(document: dict[str, Any], key: str = key, value: Any = value) -> None:
            *parents, last = key.split(".")
            for parent in parents:
                document = document[parent]
            document[last] = value

        project.edit_params(change)
        assert "config" in status(project), key
        project.run("dvc repro --quiet config")
        assert status(project) == stale, key
        project.path("params.yaml").write_bytes(before)
        project.run("dvc repro --quiet config")
        assert status(project) == set(), key


def test_a_broken_file_stops_every_repro(finished, spare):
    """Also when nothing is stale."""
    project = spare(finished[0])
    project.edit_params(lambda document: document["studies"]["omniglot"].update(trian={}))
    told = project.run("dvc repro", expect=255)
    assert (
        "megan config: params.yaml: unknown key 'studies.omniglot.trian'; did you mean 'studies.omniglot.train'?"
        in told
    )


def test_experiment_runs_one_variant_and_what_follows(finished, spare):
    project = spare(finished[0])
    project.run("git add -A")
    project.run("git commit -qm results")
    before = project.content("results")
    output = project.run("dvc exp run -S variants.n_plus_1.real_weight=1.0 -n lighter")
    assert sorted(ran(output)) == sorted(["config", "train@n_plus_1", "search", "test@n_plus_1", *FOLLOWERS])
    assert (
        differing(
            project.content(TRAINED), {name: content for name, content in before.items() if name.startswith(TRAINED)}
        )
        == []
    )
    assert differing(project.content("results"), before)
    assert status(project) == set()

    # The documented way back: params.yaml, the lock and the results are those from before.
    project.run("git checkout params.yaml dvc.lock")
    project.run("dvc checkout")
    assert differing(project.content("results"), before) == []
    assert ran(project.run("dvc repro")) == []

    # Everything in params.yaml has a column; what differs is a handful.
    rows = list(csv.DictReader(io.StringIO(project.run("dvc exp show --csv --only-changed"))))
    mine = next(row for row in rows if row["Experiment"] == "lighter")
    assert mine["n_plus_1"] and mine["variants.n_plus_1.real_weight"] == "1.0"
    assert len(mine) < 25
    metrics = json.loads(project.run("dvc metrics show --json"))[""]["data"]
    assert set(metrics) == {"results/quick/metrics.json"}
    shown = json.loads(project.run("dvc exp show --json"))
    assert any(
        experiment.get("name") == "lighter"
        for base in shown
        for group in base["experiments"] or []
        for experiment in group["revs"]
    )


# Kills. Training keeps a checkpoint of each step, and is met when it has some.


@pytest.fixture(scope="module")
def longer(prepared, tmp_path_factory) -> Project:
    """Ready to train maml for a few seconds. Only to be copied."""
    project = prepared[0].copy(tmp_path_factory.mktemp("longer") / "project")
    project.edit_params(lambda document: document["studies"]["quick"]["tiers"]["headline"].update(meta_steps=24))
    project.run("dvc repro config")
    return project


@pytest.fixture(scope="module")
def undisturbed(longer, tmp_path_factory) -> dict[str, bytes]:
    project = longer.copy(tmp_path_factory.mktemp("undisturbed") / "project")
    project.run(TRAIN)
    return project.content(TRAINED)


def halfway(project: Project) -> int:
    """Wait until training has saved some steps, and halt it there. Returns the stage's pid."""
    resume = project.path(".resume/quick/train@maml")
    wait_for(lambda: any(curve.read_text().count("\n") >= 6 for curve in resume.glob("*/curve.csv")), "a checkpoint")
    pid = int((resume / "holder.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    return pid


def assert_trained(project: Project, undisturbed: dict[str, bytes]) -> None:
    assert differing(project.content(TRAINED), undisturbed) == []
    assert "train@maml" not in status(project)
    assert not list(project.path(".resume").rglob("*.safetensors")), "finished work left its state"


def rerun_beside(project: Project, orphan: int, command: str, says: str) -> str:
    """Run the command while the halted stage lives; let that go on once the rerun says that it waits."""
    again = project.start(command, log=project.path("again.log"))
    wait_for(lambda: says in project.path("again.log").read_text(), repr(says))
    os.kill(orphan, signal.SIGCONT)
    code, output = again.wait(120), project.path("again.log").read_text()
    assert code == 0, output
    return output


def test_killed_stage_goes_on(longer, undisturbed, spare):
    project = spare(longer)
    first = project.start(TRAIN)
    os.kill(halfway(project), signal.SIGKILL)
    assert first.wait(60) != 0
    assert "continuing from meta-step" in project.run(TRAIN)
    assert_trained(project, undisturbed)


def test_stage_stops_when_asked(longer, undisturbed, spare):
    project = spare(longer)
    first = project.start(TRAIN, log=project.path("first.log"))
    pid = halfway(project)
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGCONT)
    began = time.monotonic()
    assert first.wait(60) != 0
    assert time.monotonic() - began < 15
    output = project.path("first.log").read_text()
    (line,) = [line for line in output.splitlines() if "stopped by" in line]
    assert "train@maml: stopped by SIGTERM; state saved" in line
    assert "Traceback" not in output
    assert not project.path(TRAINED).exists()
    assert "continuing from meta-step" in project.run(TRAIN)
    assert_trained(project, undisturbed)


def test_orphan_of_a_killed_dvc_is_waited_for(longer, undisturbed, spare):
    """The stage goes on alone; the rerun says whom it waits for, and takes the result."""
    project = spare(longer)
    first = project.start(TRAIN)
    stage = halfway(project)
    first.kill()
    first.wait()
    output = rerun_beside(project, stage, TRAIN, f"process {stage} is working on this; waiting")
    assert "another process has just finished this; using its result" in output
    assert "train maml:" not in output, "trained twice"
    assert_trained(project, undisturbed)


def test_jobs_of_a_killed_snakemake_are_waited_for(longer, undisturbed, spare):
    """Its DVC processes go on; a new snakemake deletes nothing before they have ended."""
    project = spare(longer)
    first = project.start(SCHEDULE)
    stage = halfway(project)
    first.kill()
    first.wait()
    rerun_beside(project, stage, SCHEDULE, "dvc is already running here (process")
    assert_trained(project, undisturbed)
    assert project.path(LOG).read_text().count("Running stage 'train@maml'") == 1, "trained twice"


def test_snakemake_and_its_jobs_killed(longer, undisturbed, spare):
    """As when a machine goes down: no lock and no half file is in the way."""
    project = spare(longer)
    first = project.start(SCHEDULE)
    halfway(project)
    family = [psutil.Process(first.pid), *psutil.Process(first.pid).children(recursive=True)]
    for process in family:
        process.kill()
    first.wait()
    psutil.wait_procs(family, timeout=30)
    project.run(SCHEDULE)
    assert "continuing from meta-step" in project.path(LOG).read_text()
    assert_trained(project, undisturbed)


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
    assert metrics["diverged_seeds"] == 0 and metrics["maml"] > 0 and metrics["n_plus_1"] > 0
    assert status(project) == set()
