"""Stale results cannot pass either engine, several runs at once lose nothing, and a broken file is one line."""

import json
import shutil

import pytest

from tests.workflow.conftest import VARIANTS, Project, ran, wait_for
from tests.workflow.test_end_to_end import differing, status

pytestmark = [pytest.mark.faults, pytest.mark.slow]

TRAINED, TESTED = "results/quick/train/maml", "results/quick/test/maml"
ENGINES = {"dvc": "dvc repro {stage}", "snakemake": "snakemake --cores 2 -- {output}"}


def run(project: Project, engine: str, stage: str, output: str, expect: int | None = 0) -> str:
    return project.run(ENGINES[engine].format(stage=stage, output=output), expect)


def put(document: dict, learning_rate: float) -> None:
    document["studies"]["quick"]["train"]["learning_rate"] = learning_rate


# Stale results


@pytest.mark.parametrize("engine", ENGINES)
def test_edited_result_is_made_again(finished, spare, engine):
    """By hand, a byte of each file of a training; the next stage refuses it alone, and each engine mends it."""
    project = spare(finished[0])
    before = project.content(TRAINED, TESTED)
    for name in ("weights.safetensors", "curve.csv"):
        path = project.path(f"{TRAINED}/{name}")
        content = path.read_bytes()
        path.unlink()  # DVC's cache may be linked to it
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    told = project.run("python -m megan test maml", expect=1)
    (line,) = [line for line in told.splitlines() if line.startswith("megan test: ")]
    assert f"{TRAINED}/" in line and "dvc repro" in line
    run(project, engine, "test@maml", TESTED)
    assert differing(project.content(TRAINED, TESTED), before) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_old_result_copied_in(finished, project_rate, spare, engine):
    """Of another learning rate, put in place of the right one: refused by the stage, and by each engine made right."""
    project = spare(finished[0])
    before = project.content(TRAINED, TESTED)
    project.edit_params(lambda document: put(document, 0.003))
    project.run("dvc repro train@maml")
    shutil.copytree(project.path(TRAINED), project.path("old"))
    project.edit_params(lambda document: put(document, project_rate))
    project.run("dvc repro test@maml")
    assert differing(project.content(TRAINED, TESTED), before) == []
    shutil.rmtree(project.path(TRAINED))
    project.path("old").rename(project.path(TRAINED))
    told = project.run("python -m megan test maml", expect=1)
    assert f"train.learning_rate = 0.003, params.yaml says {project_rate}; run: dvc repro train@maml" in told
    run(project, engine, "test@maml", TESTED)
    assert differing(project.content(TRAINED, TESTED), before) == []


@pytest.fixture
def project_rate(finished) -> float:
    return finished[0].params()["studies"]["quick"]["train"]["learning_rate"]


@pytest.mark.parametrize("engine", ENGINES)
def test_removed_variant_is_gone_from_every_result(finished, spare, engine):
    """Its old files stay, and nothing reads them."""
    project = spare(finished[0])

    def remove(document: dict) -> None:
        del document["variants"]["n_plus_1"]

    project.edit_params(remove)
    run(project, engine, "summary", "results/quick/metrics.json")
    assert project.path("results/quick/train/n_plus_1").is_dir()
    metrics = json.loads(project.path("results/quick/metrics.json").read_text())
    assert metrics["maml"] and metrics["n_plus_1"] is None
    for table in project.path("results/quick/tables").glob("*.csv"):
        assert "n_plus_1" not in table.read_text(), table.name


@pytest.mark.parametrize("engine", ENGINES)
def test_other_study_and_back(finished, spare, engine):
    """A study of other numbers leaves this one's results alone; back here, nothing is made twice."""
    project = spare(finished[0])
    before = project.results()

    def another(document: dict) -> None:
        document["studies"]["other"] = {
            **document["studies"]["quick"],
            "train": document["studies"]["quick"]["train"] | {"learning_rate": 0.003},
        }
        document["study"] = "other"

    project.edit_params(another)
    run(project, engine, "test@maml", "results/other/test/maml")
    assert (
        differing({name: content for name, content in project.results().items() if "/other" not in name}, before) == []
    )
    assert (
        project.path("results/other/train/maml/weights.safetensors").read_bytes()
        != project.path(f"{TRAINED}/weights.safetensors").read_bytes()
    )
    told = project.path("results/other/train/maml/record.json")
    assert json.loads(told.read_text())["study"] == "other"
    project.edit_params(lambda document: document.update(study="quick"))
    output = run(project, engine, "test@maml", TESTED)
    assert set(ran(output)) <= {"config"}, "it reads params.yaml, which has changed twice, and writes the same files"
    assert (
        differing({name: content for name, content in project.results().items() if "/other" not in name}, before) == []
    )


# Several at once


def test_two_repros_at_once(prepared, spare, tmp_path):
    """One of them waits or says that DVC is busy; run again, all is there once, whole."""
    project, alone = spare(prepared[0]), spare(prepared[0])
    alone.run("dvc repro train@maml train@n_plus_1")
    both = [
        project.start("dvc repro train@maml train@n_plus_1", log=project.path(f"log{number}")) for number in range(2)
    ]
    codes = [process.wait(240) for process in both]
    logs = [project.path(f"log{number}").read_text() for number in range(2)]
    assert 0 in codes, logs
    for code, log in zip(codes, logs, strict=True):
        assert code == 0 or "lock" in log or "busy" in log, log
        assert "Traceback" not in log
    for variant in VARIANTS:
        assert (
            sum(f"train {variant}:" in log and f"train {variant}: 100%" in log.replace("\r", "\n") for log in logs) <= 1
        ), "trained twice"
    project.run("dvc repro train@maml train@n_plus_1")
    assert differing(project.content("results/quick/train"), alone.content("results/quick/train")) == []
    assert not {f"train@{variant}" for variant in VARIANTS} & status(project)


def test_any_number_of_cores_makes_the_same(prepared, spare):
    """Variants side by side, four at a time, and one after the other."""
    outputs = " ".join(f"results/quick/test/{variant}" for variant in VARIANTS)
    made = []
    for cores in (4, 1):
        project = spare(prepared[0])
        project.run(f"snakemake --cores {cores} -- {outputs}")
        made.append(project.content("results/quick/train", "results/quick/test"))
        assert not {f"{stage}@{variant}" for variant in VARIANTS for stage in ("train", "test")} & status(project), (
            "an update of dvc.lock was lost"
        )
    assert differing(*made) == []


def test_queued_experiments_with_two_workers(finished, spare, faults):
    """Each runs in a copy of its own; both end as they would alone, and the workspace is as before."""
    if not faults(False, True):
        pytest.skip("takes a minute; --faults=full runs it")
    project = spare(finished[0])
    project.run("git add -A")
    project.run("git commit -qm results")
    before = project.results()
    rates = ("0.0031", "0.0032")
    for rate in rates:
        project.run(f"dvc exp run --queue -n rate{rate[-2:]} -S studies.quick.train.learning_rate={rate} test@maml")
    project.run("dvc queue start -j 2")
    wait_for(lambda: project.run("dvc queue status").count("Success") == 2, "two experiments", seconds=280)
    assert differing(project.results(), before) == []
    for rate in rates:
        copy = spare(project)
        copy.run(f"dvc exp apply rate{rate[-2:]}")
        applied = copy.content(TRAINED)
        assert json.loads(applied[f"{TRAINED}/record.json"])["parameters"]["train"]["learning_rate"] == float(rate)
        alone = spare(finished[0])
        alone.edit_params(lambda document, rate=rate: put(document, float(rate)))
        alone.run("dvc repro train@maml")
        assert differing(applied, alone.content(TRAINED)) == []


# A broken file, which an engine reads before any stage


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("study: [", ("", "")),
        ("study: quick\nstudy: quick\n", ("study", "study")),
        ("study: quick\n", ("variants", "'study_defaults' is missing")),
        ("", ("", "")),
    ],
    ids=["no YAML", "twice", "keys missing", "empty"],
)
def test_broken_parameters_are_one_line(tiny, spare, engine, text, told):
    project = spare(tiny)
    project.path("params.yaml").write_text(text)
    output = project.run(ENGINES[engine].format(stage="train@maml", output=TRAINED), expect=None)
    assert "Traceback" not in output
    lines = [line for line in output.splitlines() if "params.yaml" in line or "ERROR" in line]
    assert lines and told[list(ENGINES).index(engine)] in output
    assert not project.path("results/quick").exists() and not project.path("data").exists()
