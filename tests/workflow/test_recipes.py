"""The recipes of docs/recipes.md: the very commands of its code blocks, in a shrunk project."""

import re
import shlex

import pytest
import yaml

from tests.workflow.conftest import ROOT, ran, shrink

TEXT = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
TUTORIAL = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")


def commands(recipe: str) -> list[str]:
    """The lines of the recipe's blocks of commands, without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", RECIPES[recipe], re.DOTALL)
    lines = [shlex.join(shlex.split(line, comments=True)) for block in blocks for line in block.splitlines()]
    return [line.replace("'&&'", "&&") for line in lines if line]


def follow(project, recipe: str) -> list[str]:
    """Run all commands of a recipe, as a shell would; what each printed."""
    told = []
    for command in commands(recipe):
        project.path(".dvc/tmp/recipe.sh").write_text(f"set -e\n{command}\n", encoding="utf-8")
        told.append(project.run("bash .dvc/tmp/recipe.sh", COLUMNS="120"))
    return told


@pytest.fixture
def project(finished, spare):
    """After `dvc repro`, its results committed."""
    project = spare(finished[0])
    project.run("git add -f dvc.lock")
    project.run("git commit -qm results")
    return project


def test_a_number_is_changed_compared_undone_kept_and_removed(project):
    before = project.content("params.yaml", "results/quick/report.html", "results/quick/tables")
    changed, compared = follow(project, "Change one number of a variant")
    assert {"train@n_plus_1", "test@n_plus_1", "report"} <= set(ran(changed)) and "train@maml" not in ran(changed)
    assert "A = n_plus_1\nB = n_plus_1@HEAD\n" in compared and "16 common meta-test tasks of 2 seeds" in compared
    assert project.path("results/quick/compare/n_plus_1-n_plus_1@HEAD.png").is_file()
    for told in follow(project, "See what changed"):
        assert told and max(map(len, told.splitlines())) <= 120 and "…" not in told, told
    follow(project, "Undo it")
    assert project.content("params.yaml", "results/quick/report.html", "results/quick/tables") == before
    follow(project, "Keep an experiment, or remove it")
    assert project.params()["variants"]["n_plus_1"]["real_weight"] == 5
    assert project.run("git status --porcelain") == "" and "heavier" not in project.run("dvc exp list")
    assert project.run("git log -1 --format=%s") == "N+1 with a weight of 5\n"
    told = project.run("python -m megan compare n_plus_1@heavier maml", expect=1)
    assert "there is no revision or experiment 'heavier'" in told


@pytest.mark.slow
def test_three_values_in_a_queue(project):
    before = project.content("params.yaml", "results/quick/test")
    *_, shown, compared = follow(project, "Three values in a queue")
    assert all(f"weight-{number}" in shown for number in (1, 2, 3)) and "…" not in shown, shown
    assert "A = n_plus_1@weight-3\nB = n_plus_1@weight-1\n" in compared
    assert project.content("params.yaml", "results/quick/test") == before
    assert "did you mean 'weight-1'?" in project.run("python -m megan compare n_plus_1@wait-1 maml", expect=1)


def test_a_variant_of_ones_own_is_compared(project):
    (block,) = re.findall(r"```yaml\n(  n_plus_1_heavy:.*?)```", TUTORIAL, re.DOTALL)
    parameters = project.path("params.yaml").read_text(encoding="utf-8")
    project.path("params.yaml").write_text(parameters.replace("\nvariants:\n", f"\nvariants:\n{block}", 1), "utf-8")
    made, compared = follow(project, "A variant of one's own")
    assert set(ran(made)) - {"config"} == {"train@n_plus_1_heavy", "test@n_plus_1_heavy"}
    assert "A = n_plus_1_heavy\nB = n_plus_1\n" in compared


def test_any_two_variants_are_compared(project):
    own, kept = follow(project, "Compare any two variants")
    assert "A = n_plus_1\nB = maml\n" in own and own.count("written: results/quick/compare/n_plus_1-maml.png") == 1
    assert "over 8 seeds, p = 0.003" in kept


@pytest.mark.slow
def test_a_study_of_ones_own(project):
    (block,) = re.findall(r"```yaml\n(  mine:.*?)```", RECIPES["A study of one's own"], re.DOTALL)

    def added(document):
        document["studies"] |= yaml.safe_load(block)
        shrink(document)

    project.edit_params(added)
    made, compared = follow(project, "A study of one's own")
    assert {"prepare", "test@maml", "test@n_plus_1"} <= set(ran(made)) and "summary" not in ran(made)
    assert "(10 ways, 1 shot" in compared
    assert project.path("results/mine/compare/n_plus_1-maml.png").is_file()


def test_a_finished_study_is_kept_by_git(project):
    follow(project, "Keep and share a finished study")
    assert project.path("results/record/quick/report.html").is_file()
    assert project.run("git log -1 --format=%s") == "Record of the study\n"
    told = project.run("python -m megan compare results/record/quick/n_plus_1 results/record/quick/maml@HEAD")
    assert "16 common meta-test tasks of 2 seeds" in told


def test_plots_without_network(project):
    follow(project, "Look at curves with DVC")
    page = project.path("dvc_plots/index.html").read_text(encoding="utf-8")
    assert "<script src" not in page and "cdn." not in page
    assert '"Meta-test accuracy"' in page and '"accuracy (0 to 1)"' in page and '"meta-steps"' in page
