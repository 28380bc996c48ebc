"""What a release says of itself: one version, one title, the same authors, in every file that an archive reads."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tools import metadata

ROOT = Path(__file__).parents[1]
CITATION = metadata.citation()
PAPER = "MeGAN: Meta-Learned Data Augmentation GAN for Few-Shot Image Classification"


def test_one_version_in_package_citation_and_changelog():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    heads = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    released = [re.fullmatch(r"(\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)", head) for head in heads if head != "Unreleased"]
    assert all(released), heads
    newest, date = released[0].groups()
    assert CITATION["version"] == project["version"] == newest and CITATION["date-released"] == date
    assert [match[1] for match in released][-2:] == ["0.2.0", "0.1.0"], "the newest comes first"


def test_the_citation_has_what_its_format_needs_and_cites_the_paper():
    """The whole schema is checked by cffconvert in .ci/run, which cannot share an environment with Snakemake."""
    assert CITATION["cff-version"] == "1.2.0" and CITATION["message"] and CITATION["title"] and CITATION["authors"]
    (paper,) = CITATION["references"]
    assert (paper["type"], paper["title"]) == ("unpublished", PAPER)
    assert [author["family-names"] for author in paper["authors"]] == ["Swofford", "Peruzzi", "Demir"]


@pytest.mark.parametrize("name", metadata.FILES)
def test_archives_read_what_the_citation_says(name):
    found = (ROOT / name).read_text(encoding="utf-8")
    assert found == metadata.text(name), f"{name} is not what CITATION.cff says; run: python -m tools.metadata"
    content = json.loads(found)
    title, authors = ("title", "creators") if name == ".zenodo.json" else ("name", "author")
    assert (content[title], content["version"]) == (CITATION["title"], CITATION["version"])
    assert [author["name"] for author in content[authors]] == ["The megan developers"]
    assert PAPER in found and "Swofford" in found


def test_the_layout_of_the_workflow_catalogue():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    assert all(isinstance(works, bool) for works in usage["software-stack-deployment"].values())
    assert (ROOT / "Snakefile").is_file() and (ROOT / "config/README.md").is_file()
    assert (ROOT / "workflow/Snakefile").read_text(encoding="utf-8").splitlines()[-1] == 'include: "../Snakefile"'
    words = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert "snakemake" in words and "workflow" in words


def test_links_of_the_configurations_readme_lead_somewhere():
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) >= 5 and [link for link in links if not (ROOT / "config" / link).exists()] == []


def test_the_image_installs_what_the_readme_installs():
    image = (ROOT / "Containerfile").read_text(encoding="utf-8")
    (base,) = re.findall(r"^FROM (\S+)$", image, re.MULTILINE)
    assert "/" not in base, "a short name, so that the builder's own registries serve it"
    install = "pip install -q -c constraints.txt -e '.[test]'"
    assert install in image and install in (ROOT / "README.md").read_text(encoding="utf-8")
    assert image.splitlines()[-1] == 'CMD ["dvc", "repro"]'
    for name in re.findall(r"^COPY (.+) \./$", image, re.MULTILINE)[0].split():
        assert (ROOT / name).is_file()


def test_the_image_leaves_out_what_is_made_here_and_keeps_the_repository():
    left = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    assert {".venv", "data", "results/*", "!results/record", ".dvc/cache"} <= set(left)
    assert ".git" not in left, "DVC needs it, and results name their commit"
