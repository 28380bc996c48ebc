"""The commands of docs/tutorial.md, in order, in a shrunk project: an answer of one's own, kept or dropped."""

import re

from tests.workflow.conftest import ROOT, ran

STEPS = {"train@n_plus_1_heavy", "test@n_plus_1_heavy", "search", "samples", "summary", "claims", "report"}


def test_a_variant_of_ones_own_is_trained_shown_and_dropped(finished, spare):
    project = spare(finished[0])
    tutorial = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    assert 'git add dvc.lock && git commit -m "Results of quick"' in tutorial.partition("## 2.")[0]
    project.run("git add dvc.lock")
    project.run("git commit -qm results")
    (block,) = re.findall(r"```yaml\n(  n_plus_1_heavy:.*?)```", tutorial, re.DOTALL)
    parameters = project.path("params.yaml").read_text(encoding="utf-8")
    project.path("params.yaml").write_text(parameters.replace("\nvariants:\n", f"\nvariants:\n{block}", 1), "utf-8")
    before = project.path("results/quick/report.html").read_bytes()
    done = ran(project.run("dvc repro"))
    assert set(done) - {"config"} == STEPS
    assert "N+1, 10:1" in project.path("results/quick/report.html").read_text(encoding="utf-8")
    assert "N+1, 10:1" in project.path("results/quick/tables/accuracy.csv").read_text(encoding="utf-8")
    (compare,) = re.findall(r"^python -m megan compare .*$", tutorial, re.MULTILINE)
    assert "A = n_plus_1_heavy\nB = n_plus_1\n" in project.run(compare)
    undo = re.search(r"^(git checkout params.yaml dvc.lock) && (dvc checkout)", tutorial, re.MULTILINE)
    for command in undo.groups():
        project.run(command)
    assert project.path("results/quick/report.html").read_bytes() == before
