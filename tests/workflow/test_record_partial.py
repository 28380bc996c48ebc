"""A record of a study of which two of four variants, and no plain GAN, have been run."""

import json
import shutil

import pytest

from megan import record
from megan.config import params as parameters
from megan.record import check, manifest, partial
from megan.report.inputs import read_table
from megan.stages import registry
from tests.workflow.conftest import VARIANTS, Project

LEFT = ("n_plus_1_hybrid", "multi_task_0")
FOLDER = "results/record/quick"


@pytest.fixture(scope="module")
def half(finished, tmp_path_factory) -> Project:
    """Two further variants in params.yaml that were not run, and no plain GAN; its provisional record. To be read."""
    project = finished[0].copy(tmp_path_factory.mktemp("half") / "project")
    shipped = parameters.read()["variants"]
    project.edit_params(lambda document: document["variants"].update({name: shipped[name] for name in LEFT}))
    shutil.rmtree(project.path("results/quick/gan"))
    project.run("dvc repro config")
    project.before = project.content("results/quick", "dvc.lock")
    project.said = project.run("python -m megan record --finished --weights 4")
    return project


@pytest.fixture
def inside(half, monkeypatch):
    monkeypatch.chdir(half.folder)
    return half


def test_it_is_whole_and_says_that_it_is_provisional(inside):
    folder = inside.path(FOLDER)
    listed = record.verify(folder)
    assert listed["provisional"] and listed["not_run"] == [*(f"test@{name}" for name in LEFT), "gan"]
    assert "provisional, without test@n_plus_1_hybrid, test@multi_task_0, gan" in inside.said
    assert listed["variants"] == list(VARIANTS)
    for name in ("report.html", "metrics.json", "claims/claims.json", "figures/outer_losses.png", "tables/curves.csv"):
        assert name in listed["files"]
    assert {"provenance/train-maml.json", "provenance/samples.json"} <= listed["files"].keys()
    assert "provenance/gan.json" not in listed["files"]
    assert inside.content("results/quick", "dvc.lock") == inside.before, "the results that DVC manages stay as they are"
    assert not list(inside.path(".resume/record").iterdir())


def test_its_tables_are_of_what_was_run(inside):
    """They are the tables that the whole pipeline made when the study had only these variants."""
    folder = inside.path(FOLDER)
    assert list(read_table(folder / "tables/accuracy.csv", ["variant"])["variant"]) == list(VARIANTS)
    for name in ("accuracy.csv", "curves.csv", "comparisons.csv", "seeds.csv"):
        assert (folder / "tables" / name).read_bytes() == inside.path(f"results/quick/tables/{name}").read_bytes()
    claims = read_table(folder / "claims/claims.csv", ["claim", "verdict", "reason"]).set_index("claim")
    assert claims.loc["1", "verdict"] == "failed its gate" and "too short" in claims.loc["1", "reason"]
    assert claims.loc["12", ["verdict", "reason"]].tolist() == ["not run yet", "not run yet: the plain GAN"]
    assert claims.loc["7", "verdict"] == "failed its gate", "it also needs a variant that the study does not have"
    assert claims.loc["Q1", "verdict"] == "failed its gate"


def test_its_page_says_so_first(inside):
    page = " ".join(inside.path(f"{FOLDER}/report.html").read_text(encoding="utf-8").split())
    assert "<strong>Provisional.</strong> 2 of 4 variants have been run." in page
    assert "Not run yet: n_plus_1_hybrid, multi_task_0, the plain GAN." in page
    assert page.index('id="provisional"') < page.index('id="answer"')
    told = json.loads(inside.path(f"{FOLDER}/figures/outer_losses.json").read_text())["caption"]
    assert "No result in this study: n_plus_1_real_fake, n_plus_1_hybrid." in told


def test_it_agrees_with_the_code(inside, monkeypatch):
    monkeypatch.setattr(registry, "ROOT", inside.folder)
    params = parameters.load()
    assert list(check.compare(params, inside.path(FOLDER))) == []


def test_weights_of_both_say_how_they_are_kept(inside):
    for name in VARIANTS:
        about = record.verify(inside.path(FOLDER))["weights"][name]
        assert about["dtype"] == ("float32" if about["changed"] else "float16") and about["predictions"] >= 1000
        assert f"weights of {name} as {about['dtype']}" in inside.said


def test_which_stages_are_computed():
    stages = registry.stages(parameters.load().of("text"))
    done = {"encoder", "judge", "train@maml", "test@maml"}
    params = parameters.load().of("text")
    assert list(partial.needed(params, stages, done)) == ["samples", "summary", "claims", "report"]
    assert partial.needed(params, stages, {"train@maml"}) == {}, "nothing was tested, as in study search"
    assert partial.needed(params, stages, set(stages)) == {}
    left = partial.waiting(params, done)
    assert "test@n_plus_1" in left and "test@maml" not in left and left[-1] == "gan"
    assert list(params.without(left).variants) == ["maml"]


def test_a_record_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, mib in (("results/record/text", 9), ("results/record/code", 3), ("new", 11)):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "large").write_bytes(bytes(mib * manifest.MIB))
    manifest.check_room(tmp_path / "new", "text")
    with pytest.raises(record.RecordError, match=r"would have 20.0 MiB \(anchor 11.0, .*\), more than 15; remove"):
        manifest.check_room(tmp_path / "new", "anchor")
