"""The page of a record, and the charting library that the pages of all records share."""

import json
import re
import shutil
import subprocess
import types

import pandas as pd
import pytest
from jinja2.utils import htmlsafe_json_dumps

from megan.config import paths
from megan.record import manifest, pages
from megan.report.page import chart

LOADS = re.compile(r'<script src="\.\./(library-[0-9a-f]{8}\.js)"></script>')
PAGE = '<p>Before</p><script type="text/plain" id="library">{}</script><p>After</p>'


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the page of a record with a library, and moves the library out of it."""
    monkeypatch.chdir(tmp_path)

    def make(study, packed):
        page = paths.RECORD / study / pages.NAME
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(PAGE.format(packed))
        pages.share_library(page)
        return page.read_text()

    return make


def _libraries():
    return sorted(path.name for path in paths.RECORD.glob("*.js"))


def test_a_record_has_the_page_without_the_library(inside):
    text = (inside.record / pages.NAME).read_text(encoding="utf-8")
    (name,) = LOADS.findall(text)
    source = chart.library().source
    assert source not in text and f'library.textContent = "{source}";' in (inside.record.parent / name).read_text()
    assert pages.NAME in manifest.verify(inside.record)["files"]


def test_its_figures_are_the_files_beside_it(inside):
    text = (inside.record / pages.NAME).read_text(encoding="utf-8")
    (name,) = re.findall(r'<img src="figures/(\w+)\.png"', text)
    assert name == "outer_losses" and "data:image/svg" not in text, "the other figure has nothing to show"
    assert (inside.record / f"figures/{name}.png").is_file()
    assert 'src="data:image/png' in text, "the fakes are on the page"


def _data(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_its_curves_are_in_columns(inside):
    written = _data((inside.record / pages.NAME).read_text(encoding="utf-8"))["curves"]["validation"]
    table = pd.read_csv(inside.record / "tables/curves.csv")
    means = table[table["split"] == "validation"].groupby(["variant", "meta_step"])["accuracy"].mean()
    assert set(written) == {"maml", "n_plus_1"}
    for variant, columns in written.items():
        assert columns["x"] == list(means[variant].index)
        assert columns["y"] == pytest.approx(list(means[variant]), abs=1e-5)


@pytest.fixture
def light(tmp_path):
    """The page of a record that shows rows of two variants, and fakes of which some are the same at two moments."""
    rows = [{"v": v, "x": x, "y": x / 8, "n": 3} for v in ("maml", "n_plus_1") for x in range(3)]
    pictures = {"one": {"0": ["data:a"], "50": ["data:b"], "last": ["data:b"]}, "two": {"last": ["data:b"]}}
    labels = {"maml": "</b>"}
    data = {"curves": {"validation": rows, "kept": []}, "fakes": {"meta": [0], "pictures": pictures}, "labels": labels}
    page = tmp_path / pages.NAME
    page.write_text(f'<script type="application/json" id="data">{htmlsafe_json_dumps(data)}</script><p>After</p>')
    pages.lighten(page)
    return types.SimpleNamespace(data=data, text=page.read_text())


def test_its_images_are_there_once(light):
    assert light.text.count("data:b") == 2 and light.text.endswith("</script><p>After</p>")
    assert _data(light.text)["fakes"]["pictures"]["one"] == {"0": ["data:a"], "50": ["data:b"], "last": "50"}
    assert _data(pages.with_images(light.text))["fakes"] == light.data["fakes"]
    assert pages.with_images("") == ""


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here to run the page's script")
def test_its_script_gives_the_whole_data_to_the_script_of_the_page(light):
    held, script = re.search(r'id="data">(.*?)</script><script>(.*?)</script>', light.text, re.DOTALL).groups()
    run = f"""const element = {{ textContent: {json.dumps(held)} }};
        const document = {{ getElementById: (name) => name === "data" && element }};
        {script}; console.log(element.textContent);"""
    told = subprocess.run(["node", "-e", run], capture_output=True, text=True, check=True).stdout
    assert json.loads(told) == light.data


def test_each_figure_has_its_own_file(tmp_path):
    one = '<figure id="{0}" class=wide>\n<div><img src="data:image/svg+xml,%3Csvg{0}" width="9"></div></figure>'
    card = '<figure class="card"><img data-card="maml" src="data:image/svg+xml,card"></figure>'
    page = tmp_path / pages.NAME
    photograph = '<figure id="photograph"><img src="data:image/png;base64,AA"></figure>'
    page.write_text(one.format("first") + card + photograph + one.format("second"))
    pages.lighten(page)
    text = page.read_text()
    assert re.findall(r'src="([^"]*)"', text) == [
        "figures/first.png", "data:image/svg+xml,card", "data:image/png;base64,AA", "figures/second.png"
    ]  # fmt: skip


def test_records_share_one_library(write):
    first, second = write("text", "AbC+/="), write("code", "AbC+/=")
    (name,) = _libraries()
    assert first == second == f'<p>Before</p><script src="../{name}"></script><p>After</p>'


def test_another_library_has_a_file_of_its_own_and_an_unused_one_goes(write):
    write("text", "AbC+/="), write("code", "DeF+/=")
    old, new = _libraries(), LOADS.findall(write("text", "DeF+/="))
    assert len(old) == 2
    pages.remove_unused()
    assert _libraries() == new


def test_a_page_without_a_library_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / pages.NAME
    page.write_text("<p>No chart</p>")
    pages.share_library(page)
    assert page.read_text() == "<p>No chart</p>" and not paths.RECORD.exists()
