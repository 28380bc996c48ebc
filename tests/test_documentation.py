"""The documentation site builds without a warning, needs no network, and names only what exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
pytest.importorskip("mkdocs", reason="pip install -e '.[docs]' for the documentation site")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    # Without -q, which hides the warnings from the strict build: it would then pass a link to a missing heading.
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)], cwd=ROOT, text=True,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "https_proxy": "http://127.0.0.1:9"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return folder


def test_nothing_is_loaded_from_the_web(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*src="([^"]+)"', text)
        loaded += re.findall(r'<link[^>]*rel="(?:stylesheet|preconnect|icon)"[^>]*href="([^"]+)"', text)
        assert not [address for address in loaded if "//" in address], page.name


def test_every_package_is_in_the_reference(site):
    packages = {path.parent.name for path in (ROOT / "megan").glob("*/__init__.py")}
    reference = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs/reference").glob("*.md"))
    assert {name for name in packages if f"::: megan.{name}\n" not in reference} == set()
    assert 'id="megan.meta.adapt.adapt"' in (site / "reference/meta.html").read_text(encoding="utf-8")


def test_links_out_of_the_folder_are_paths_of_files(site):
    assert "../megan/meta/capture.py" not in (site / "gpu.html").read_text(encoding="utf-8")
    assert "megan/meta/capture.py" in (site / "gpu.html").read_text(encoding="utf-8")
    assert 'href="claims.html"' in (site / "index.html").read_text(encoding="utf-8")


def test_every_variant_and_study_is_described():
    from megan.config import params

    found = params.load()
    described = re.findall(r"`(\w+)`", (ROOT / "docs/variants.md").read_text(encoding="utf-8"))
    ends = tuple(name for name in described if name.startswith("_"))
    assert [name for name in found.variants if name not in described and not name.endswith(ends)] == []
    studies = re.findall(r"`(\w+)`", (ROOT / "docs/studies.md").read_text(encoding="utf-8"))
    assert set(found.studies) - set(studies) == set()


def test_the_tutorials_variant_can_be_pasted_into_the_parameters(tmp_path):
    from megan.config import params

    block = re.search(r"```yaml\n(  n_plus_1_heavy:.*?)```", (ROOT / "docs/tutorial.md").read_text(), re.DOTALL)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("\nvariants:\n", f"\nvariants:\n{block[1]}", 1))
    found = params.load(tmp_path / "params.yaml")
    assert found.variants["n_plus_1_heavy"].real_weight == 10 and found.styles["n_plus_1_heavy"].label == "N+1, 10:1"


def test_the_recipes_study_can_be_pasted_into_the_parameters(tmp_path):
    from megan.config import params

    text = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(  mine:.*?)```", text, re.DOTALL)
    found = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    found["studies"].update(yaml.safe_load(block[1]))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(found, sort_keys=False), encoding="utf-8")
    assert params.load(tmp_path / "params.yaml").studies["mine"].tasks.ways == 10
