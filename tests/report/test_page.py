"""The stage `report`: its folder of figures; and the page: whole, without network, escaped, no number without a run."""

import base64
import gzip
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import jobs
import numpy as np
import pandas as pd
import pytest
from page_study import CURVES, write_samples
from PIL import Image

from megan.config import paths
from megan.report import figures, page, paper_curves, paper_table
from megan.report.claims import evidence
from megan.report.claims.decide import decide
from megan.report.claims.rules import CLAIMS
from megan.report.inputs import ReportError
from megan.report.page import chart, gallery, published, scales, variants, verdicts
from megan.runs import result

ROOT = Path(__file__).parents[2]
ENDINGS = ("json", "png", "svg")
VOID = ("img", "meta", "br", "input", "link", "line")


class Reader(HTMLParser):
    """Text by element, images, and every address that a browser would load or follow."""

    def __init__(self):
        super().__init__()
        self.rows, self.images, self.loaded, self.links, self.open = [], [], [], [], []
        self.claims, self.captions, self.paragraphs, self.scripts = [], [], [], {}

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if "src" in attributes or (tag == "link" and "href" in attributes):
            self.loaded.append(attributes.get("src") or attributes["href"])
        elif "href" in attributes:
            self.links.append(attributes["href"])
        if tag == "img":
            self.images.append(attributes)
        for name, found in (("figcaption", self.captions), ("p", self.paragraphs), ("summary", self.claims)):
            if tag == name:
                found.append("")
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append((tag, attributes.get("id")))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop()[0] == tag

    def handle_data(self, data):
        data = data.replace("\u00a0", " ")  # numbers are not parted from their units
        tags = {tag for tag, _ in self.open}
        if "script" in tags:
            self.scripts[self.open[-1][1]] = self.scripts.get(self.open[-1][1], "") + data
        if self.rows and {"td", "th"} & tags:
            self.rows[-1][-1] += data
        for name, found in (("figcaption", self.captions), ("p", self.paragraphs), ("summary", self.claims)):
            if name in tags:
                found[-1] += data

    def claim(self, number):
        return next(" ".join(text.split()) for text in self.claims if text.strip().startswith(f"{number}. "))


@pytest.fixture
def made(made_up, monkeypatch):
    """Everything before the report, for a study given by keywords; the report is then of the figures `CURVES`."""

    def make(**study):
        study = made_up(**study)
        params = study.write()
        jobs.run(params, "summary")
        write_samples(params, fakes=())
        jobs.run(params, "claims")
        monkeypatch.setattr(figures, "FIGURES", {name: figures.FIGURES[name] for name in CURVES})
        return params

    return make


def _read(params):
    jobs.run(params, "report")
    text = paths.report(params.study).read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    return text, reader


def _variant(reader, label):
    return next(row for row in reader.rows if row[0] == label and len(row) == 9)


def test_the_answer_comes_first(made):
    _, reader = _read(made(seeds=(0, 1, 2)))
    table = pd.read_csv(paths.tables("quick") / "accuracy.csv").set_index("variant")
    paired = pd.read_csv(paths.tables("quick") / "comparisons.csv").set_index("variant").loc["n_plus_1"]
    first, second, third = reader.paragraphs[1:4]
    for name in ("maml", "n_plus_1"):
        row = table.loc[name]
        assert f"{row['label']} reaches {100 * row['accuracy']:.1f} ± {100 * row['ci95_seeds']:.1f} %" in first
    assert "(95 % interval over 3 seeds)" in first
    assert f"N_PLUS_1 differs from MAML by {100 * paired['difference']:+.2f} points (95 % interval" in second
    assert "not tested: it failed its gate" in second
    claims = pd.read_csv(paths.claims("quick") / "claims.csv")
    assert third.startswith(f"Of 17 claims and 7 questions of our own, the verdicts are: {len(claims)} failed its gate")


def test_whole_page(made):
    params = made(diverged={"n_plus_1": {1: 300}}, smoke=("maml",))
    text, reader = _read(params)
    table = pd.read_csv(paths.tables("quick") / "accuracy.csv").set_index("label")
    own = _variant(reader, "N_PLUS_1")
    assert own[2] == f"{100 * table.loc['N_PLUS_1', 'accuracy']:.2f} %" and own[5] == ""
    assert own[6:9] == ["2", "1", "800"] and _variant(reader, "MAML")[8] == "400 (short)"
    assert "Short runs (MAML): fewer than 4,000 training tasks." in " ".join(text.split())
    assert ["N_PLUS_1", "1", "300", ""] in reader.rows
    assert "because they trained for different lengths" in reader.paragraphs[2]
    assert ["survey", "1", "400 (short)", "0", "20"] in reader.rows and not any(
        row[0] == "ablation" for row in reader.rows
    )
    for row in pd.read_csv(paths.claims("quick") / "claims.csv").itertuples():
        assert row.verdict in reader.claim(row.claim) and row.text in reader.claim(row.claim)
        assert any(paragraph.lower() == f"{row.reason}.".lower() for paragraph in reader.paragraphs)


def test_nothing_is_loaded_from_outside_the_file(made):
    _, reader = _read(made())
    assert all(address.startswith("data:") for address in reader.loaded)
    assert all(not re.match(r"[a-z]+:|//", address) for address in reader.links), "links are to files of the project"
    library = gzip.decompress(base64.b64decode(reader.scripts["library"])).decode()
    assert "vegaLite" in library and "<script" not in reader.scripts["library"]


def test_licences_of_all_that_the_page_contains_are_in_it():
    licences = dict(chart.library().licences)
    names = {name for names in licences for name in names.split(", ")}
    assert {"vega", "vega-lite", "d3-array", "d3-geo", "delaunator", "topojson-client", "clone"} <= names
    assert not names & chart.OTHERS and "University of Washington" in licences["vega"]


def test_figures_stand_in_the_page_with_their_words_and_their_code(made):
    _, reader = _read(made(labels={"maml": '<b>"MAML" & co</b>'}))
    shown = {image["alt"]: image["src"] for image in reader.images}
    captions = [" ".join(text.split()) for text in reader.captions]
    for number, (name, code) in enumerate(zip(CURVES, ("comparisons", "accuracy"), strict=True), 1):
        path = paths.figures("quick") / name
        words = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert unquote_to_bytes(shown[words["alt"]].partition(",")[2]) == path.with_suffix(".svg").read_bytes()
        expected = (
            f"Figure {number}. {words['title']}. {words['caption']} Drawn by megan/report/figures/{code}.py; file"
        )
        assert any(text.startswith(expected) for text in captions)
        assert f"../../megan/report/figures/{code}.py" in reader.links and f"figures/{name}.png" in reader.links


def test_every_module_that_draws_is_a_file():
    root = paths.__file__.partition("/megan/config")[0]
    for entry in figures.FIGURES.values():
        with open(f"{root}/{entry.code}", encoding="utf-8") as file:
            assert "def build" in file.read()


def test_text_is_escaped(made):
    label = '</script><b>"MAML" & co</b>'
    text, reader = _read(made(labels={"maml": label}))
    assert "<b>&" not in text and '<b>"' not in text and _variant(reader, label)
    assert json.loads(reader.scripts["data"])["labels"]["maml"] == label


def test_every_number_of_the_claims_is_of_a_run(made):
    """Fewer than two seeds: no interval, no p value, and nothing in their places."""
    params = made(seeds=(0,))
    text, reader = _read(params)
    (decision,) = decide(CLAIMS, evidence.read(params), params.claims)[:1]
    assert reader.claim(1).endswith(f"failed its gate {100 * decision.part.effect:+.2f} points")
    row = verdicts.read(params).families[0][1][0]
    assert row.bar and row.bar.low is None and "no interval" in row.bar.text
    assert not {name for name, _ in row.numbers} & {"95 % interval over seeds", "p for the claim (adjusted)"}
    assert not re.search(r">\s*[^<]*\bnan\b", text.partition("<script")[0], re.IGNORECASE)


def test_every_seed_diverged(made):
    text, reader = _read(made(seeds=(0,), diverged={"n_plus_1": {0: 100}}))
    assert _variant(reader, "N_PLUS_1")[2:8] == ["every seed diverged", "", "", "", "0", "1"]
    assert "every seed of N_PLUS_1 diverged" in reader.paragraphs[1]
    assert not any("nan" in cell for row in reader.rows for cell in row)


def test_verdicts_are_told_by_a_sign_and_families_have_headings(made):
    """The table is read by columns, so that a further verdict or column breaks nothing."""
    params = made()
    path = paths.claims("quick") / "claims.csv"
    table = pd.read_csv(path)
    told = ["supported", "opposite", "no difference", "undecided", "something new"]
    table.loc[range(len(told)), "verdict"] = told
    table.assign(further=1).to_csv(path, index=False)
    claims = verdicts.read(params)
    assert [family for family, _ in claims.families] == ["primary", "secondary", "own questions"]
    rows = [row for _, own in claims.families for row in own]
    assert [row.sign for row in rows[:6]] == ["✓", "✗", "=", "?", "·", "!"] and rows[-1].id == "Q7"
    assert [count for verdict, _, _, count in claims.counts if verdict == "failed its gate"] == [len(table) - 5]
    text, _ = _read(params)
    assert "<h3>Primary <small>(a replication: the verdicts of study text count)</small></h3>" in text


def test_bars_are_on_one_axis_in_margins(made):
    params = made()
    path = paths.claims("quick") / "claims.csv"
    table = pd.read_csv(path)
    table.loc[0, ["effect", "ci95_low", "ci95_high", "margin", "unit"]] = [0.01, 0.0, 0.2, 0.005, "accuracy"]
    table.loc[1, ["effect", "ci95_low", "ci95_high", "margin", "unit"]] = [-0.005, -0.01, 0.0, 0.005, "accuracy"]
    table.to_csv(path, index=False)
    claims = verdicts.read(params)
    first, second = claims.families[0][1][:2]
    assert first.effect == "+1.00 points" and second.effect == "-0.50 points"
    assert first.bar.low == 50 and first.bar.cut and first.bar.high == 100
    assert second.bar.effect == claims.axis.at(-1) < second.bar.high == 50


def test_an_axis_has_round_ticks_and_cuts_what_lies_beyond():
    axis = scales.Linear(0.842, 0.866)
    assert axis.ticks() == [0.845, 0.85, 0.855, 0.86, 0.865] and axis.at(0.9) == 100 and axis.at(0.854) == 50
    assert scales.around([]) == scales.Linear(0, 1)
    margins = scales.Margins(3.45)
    assert margins.ticks() == [-3, -1, 0, 1, 3] and margins.at(0) == 50 and margins.at(-99) == 0


def _beside(params):
    """The page's table of the paper's numbers, from the file that stage `report` writes."""
    path = paths.figures(params.study) / paper_table.NAME
    path.parent.mkdir(exist_ok=True)
    labels = {name: own.label for name, own in params.styles.items()}
    paper_table.build(params.study, labels, paths.tables(params.study), params.current.train.meta_batch).to_csv(
        path, index=False
    )
    return published.read(params, variants.read(params))


def test_the_papers_numbers_stand_beside_ours(made):
    params = made(meta_steps=800)
    rows = _beside(params)
    assert {row.variant for row in rows} == {"maml", "n_plus_1"}
    own = next(row for row in rows if row.variant == "maml")
    curves = pd.read_csv(paths.tables("quick") / "curves.csv")
    near = curves[(curves["variant"] == "maml") & (curves["split"] == "validation") & (curves["meta_step"] == 800)]
    assert own.paper == "85.6 % ± 0.3 after 238 updates" and own.ours.endswith("after 800 (validation)"), (
        "238 x 32 / 8 = 952"
    )
    assert own.ours.startswith(f"{100 * near['accuracy'].mean():.1f} %")
    mean, half = near["accuracy"].mean(), 4.3027 * near["accuracy"].std() * np.sqrt(4 / 3)  # t of two degrees
    assert own.difference == f"{100 * (mean - 0.8561):+.1f}" and own.run == "train/maml"
    assert own.spread.startswith(f"{100 * near['accuracy'].min():.1f}")
    assert own.spread.endswith(f"; ± {100 * half:.1f}")
    assert own.inside == ("yes" if abs(mean - 0.8561) <= half + 0.003 else "no")


def test_every_point_of_the_paper_is_in_the_table_with_its_run(made):
    params = made(meta_steps=800)
    _read(params)
    table = pd.read_csv(paths.figures("quick") / "paper.csv")
    assert list(table.columns) == paper_table.COLUMNS and len(table) == 20 and table["last"].sum() == 2
    assert set(table["run"]) == {"results/quick/train/maml", "results/quick/train/n_plus_1"}
    assert (table.loc[table["meta_step"] == 25, "our_meta_step"] == 100).all(), "ours have a quarter of the tasks"


def test_meta_test_of_kept_weights_is_held_against_the_paper_where_there_is_one(made):
    params = made(meta_steps=800)
    path = paths.tables("quick") / "snapshots.csv"
    kept = [4 * step for step in paper_curves.of(6)["red (MAML)"]["meta_step"]]  # meta-steps of 8 tasks, updates of 32
    rows = [("maml", "MAML", seed, step, 0.8 + 0.01 * seed) for seed in range(3) for step in kept]
    table = pd.DataFrame(rows, columns=["variant", "label", "seed", "meta_step", "accuracy"])
    table.to_csv(path, index=False)
    (own,) = [row for row in _beside(params) if row.variant == "maml"]
    assert own.ours == "81.0 % after 952 (meta-test)" and own.difference == "-4.6"
    assert own.spread == "80.0 to 82.0 %; ± 5.0" and own.inside == "yes", "one further seed may be as far away"
    text, _ = _read(params)
    assert "meta-test accuracy of kept weights" in text


def test_a_run_that_ends_early_is_not_held_against_the_paper(made):
    params = made(meta_steps=80, seeds=(0,))
    (own,) = [row for row in _beside(params) if row.variant == "maml"]
    assert own.ours == own.difference == own.inside == ""
    text, _ = _read(params)
    assert "no accuracy near that many updates" in text and "Table of the paper" not in text


def test_provenance_is_shown_where_it_is_known(made):
    params = made()
    folder = paths.results("quick") / "provenance"
    _, reader = _read(params)
    assert any("holds no file" in paragraph for paragraph in reader.paragraphs)
    folder.mkdir(exist_ok=True)
    told = {
        "commit": "0123456789abcdef+changes", "device": "cpu", "device_name": "x86_64", "threads": 1,
        "finished": "2026-01-01T00:00:00Z", "wall_seconds": 200.0, "tasks_per_second": 87.5,
        "versions": {"torch": "2.11.0"},
    }  # fmt: skip
    (folder / "train-maml.json").write_text(json.dumps(told))
    _, reader = _read(params)
    row = next(row for row in reader.rows if row[0] == "train maml")
    assert row[1:] == ["cpu (x86_64), 1 thread", told["finished"], "3 min", "87.5", "0123456789+changes",
                       "dvc repro train@maml", "record.json"]  # fmt: skip
    text, _ = _read(params)
    assert "train/maml/record.json" in reader.links and "test/maml/record.json" in reader.links
    assert "#run-train-maml" in reader.links and 'id="run-train-maml"' in text
    assert "#run-train-n_plus_1" not in reader.links, "no link to a run whose provenance is not known"
    (paths.STUDIES / "quick").mkdir(parents=True)
    (paths.STUDIES / "quick" / "dvc.yaml").write_text("stages: {}")
    assert "dvc repro studies/quick/dvc.yaml:train@maml" in _read(params)[0]


@pytest.mark.parametrize(("shape", "form", "nearest"), [((8, 12), "PNG", 8), ((8, 12, 3), "WEBP", 3)])
def test_a_canvas_is_stored_as_a_small_picture(shape, form, nearest):
    canvas = np.full(shape, 90, np.uint8)
    if form == "PNG":
        canvas[:, :4], canvas[:, 8:] = 0, 255
    kind, _, packed = gallery._url(canvas).partition(",")
    assert kind == f"data:image/{form.lower()};base64"
    picture = Image.open(io.BytesIO(base64.b64decode(packed)))
    shown = np.asarray(picture.convert("L") if form == "PNG" else picture).astype(int)
    assert picture.format == form and np.abs(shown - canvas).max() <= nearest
    if form == "PNG":
        assert set(np.unique(shown)) == {0, 85, 255}, "paper and ink keep their grey"


def test_fakes_of_several_moments_get_a_picture_each(made):
    params = made()
    write_samples(params, fakes=("n_plus_1",), moments=("@100", "@200", "@200.3"))
    cards = gallery.read(params, variants.read(params))
    assert cards.meta == [100, 200] and cards.inner == [3] and cards.tasks == gallery.MOST_TASKS
    (card,) = cards.cards
    assert set(card.pictures) == {"last", "100", "200", "200.3"}
    assert len({url for urls in card.pictures.values() for url in urls}) == 4 * gallery.MOST_TASKS
    _, reader = _read(params)
    assert any(image.get("data-card") == "n_plus_1" for image in reader.images)
    code = {link.removeprefix("../../") for link in reader.links if link.endswith(".py")}
    assert {f"megan/report/page/{name}.py" for name in ("variants", "verdicts", "chart", "gallery")} <= code
    assert all((ROOT / path).is_file() for path in code), "each chart and figure names the code that draws it"


@pytest.mark.parametrize("threads", ["1", "2"])
def test_same_bytes_twice(made, monkeypatch, threads):
    params = made()
    monkeypatch.setenv("MEGAN_THREADS", "1")
    jobs.run(params, "report")
    files = [paths.report("quick"), *sorted(paths.figures("quick").iterdir())]
    before = [path.read_bytes() for path in files]
    monkeypatch.setenv("MEGAN_THREADS", threads)
    jobs.run(params, "report")
    assert [path.read_bytes() for path in files] == before


def test_the_folder_of_figures_is_whole_and_has_nothing_else(made):
    params = made()
    paths.figures("quick").mkdir(parents=True)
    (paths.figures("quick") / "old.svg").write_text("<svg/>")
    jobs.run(params, "report")
    drawn = {f"{name}.{ending}" for name in CURVES for ending in ENDINGS}
    assert {path.name for path in paths.figures("quick").iterdir()} == drawn | {"record.json", "paper.csv"}
    assert set(result.verified(paths.figures("quick"), "report")["files"]) == drawn | {"paper.csv"}
    assert not [path for path in paths.results("quick").rglob("*.tmp")]


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("path", ["claims/claims.csv", "tables/accuracy.csv", "tables/seeds.csv"])
def test_missing_or_torn_input(made, monkeypatch, path, threads):
    monkeypatch.setenv("MEGAN_THREADS", threads)
    params = made()
    file = paths.results("quick") / path
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ReportError, match=file.name):
        jobs.run(params, "report")
    file.unlink()
    with pytest.raises(ReportError, match=f"{file.name} is missing; run `dvc repro`"):
        jobs.run(params, "report")
    assert not paths.report("quick").exists()
    assert not [path for path in paths.results("quick").rglob("*.tmp")]


def test_a_figure_that_fails_leaves_the_figures_of_before(made):
    params = made()
    jobs.run(params, "report")
    before = {path.name: path.read_bytes() for path in paths.figures("quick").iterdir()}
    (paths.tables("quick") / "seeds.csv").unlink()
    with pytest.raises(ReportError, match=r"seeds.csv is missing"):
        jobs.run(params, "report")
    assert {path.name: path.read_bytes() for path in paths.figures("quick").iterdir()} == before


@pytest.mark.parametrize("ending", ["svg", "json"])
def test_missing_or_torn_figure(made, ending):
    params = made()
    jobs.run(params, "report")
    file = paths.figures("quick") / f"weighting.{ending}"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ReportError, match=rf"weighting.{ending} .*run `dvc repro`"):
        page.render(params)
    file.unlink()
    with pytest.raises(ReportError, match=f"weighting.{ending} is missing; run `dvc repro`"):
        page.render(params)


def test_a_chart_without_its_library(monkeypatch):
    monkeypatch.setattr(chart, "LIBRARIES", ("vega", "no-such-library"))
    with pytest.raises(ReportError, match="does not ship no-such-library/no-such-library.js.*constraints.txt"):
        chart.library()


def test_means_of_the_chart(made):
    from megan.report.page import chart

    params = made(diverged={"n_plus_1": {1: 300}})
    found = chart.data(params, variants.read(params))
    curves = pd.read_csv(paths.tables("quick") / "curves.csv").query(
        "variant == 'n_plus_1' and split == 'validation' and meta_step == 800"
    )
    (last,) = [row for row in found["validation"] if row["v"] == "n_plus_1" and row["x"] == 800]
    assert last["n"] == 2 and np.isclose(last["y"], curves["accuracy"].mean(), atol=1e-5)
    assert np.isclose(last["low"], curves["accuracy"].min(), atol=1e-5)
