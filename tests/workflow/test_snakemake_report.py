"""`snakemake --report` with captions and categories, and what `snakemake --lint` finds."""

import json
import re

import pytest

EXCEPTION = "Specify a conda environment or container for each rule."  # workflow/README.md says why


@pytest.fixture
def project(finished, spare):
    return spare(finished[0])


def test_report_shows_page_claims_figures_and_tables(project):
    project.path("dist").mkdir()
    project.run("snakemake --report dist/snakemake.html")
    report = project.path("dist/snakemake.html").read_text(encoding="utf-8")
    assert all(category in report for category in ("1. Page", "2. Claims", "3. Figures", "4. Tables"))
    pictures = list(project.path("results/quick/figures").glob("*.png"))
    figures = {picture.stem: json.loads(picture.with_suffix(".json").read_text()) for picture in pictures}
    assert figures
    words = re.sub(r"\\[nu]\w{0,4}|<[^>]*>|\s+", " ", report)
    for name, figure in figures.items():
        assert f"results/quick/figures/{name}.png" in report
        assert figure["caption"].split(".")[0].split('"')[0].split("\n")[0] in words, name
    assert "Columns: study, dataset" in words  # of tables/accuracy.csv, from the docstring that defines it


def test_report_of_a_stale_study_is_refused(project):
    project.edit_params(lambda document: document["variants"]["maml"].update(label="other"))
    told = project.run("snakemake --report dist.html", expect=None)
    assert "Snakefile: summary, claims, report must run before a report: snakemake --cores N" in told


def test_lint_finds_only_the_documented_exception(project):
    told = project.run("snakemake --lint", expect=None)
    found = re.findall(r"^    \* (.*?):?$", told, re.MULTILINE)
    assert found and set(found) == {EXCEPTION}
    assert project.run("git status --porcelain").strip() in ("", "?? dvc.lock")
