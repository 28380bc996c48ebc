"""The stage `report`: its folder of figures; and the page: whole, without network, escaped, no number without a run."""

import base64
import json
import re
from html.parser import HTMLParser

import jobs
import numpy as np
import pandas as pd
import pytest

from megan.config import paths
from megan.report import figures, page
from megan.report.claims import evidence
from megan.report.claims.decide import decide
from megan.report.claims.rules import CLAIMS
from megan.report.inputs import ReportError
from megan.runs import result

CURVES = ("weighting", "accuracy")
ENDINGS = ("json", "png", "svg")


class Reader(HTMLParser):
    """Text by table row, images with their captions, and every address that a browser would follow."""

    def __init__(self):
        super().__init__()
        self.rows, self.images, self.captions, self.addresses, self.tags, self.open = [], [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.addresses += [attributes[key] for key in ("src", "href") if key in attributes]
        if tag == "img":
            self.images.append(attributes)
        elif tag == "figcaption":
            self.captions.append("")
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.rows and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        if "figcaption" in self.open:
            self.captions[-1] += data


def _no_samples(params):
    """Samples and plain GAN of a study whose variants made none that could be judged."""
    paths.samples(params.study).mkdir(parents=True)
    paths.gan(params.study).mkdir(parents=True)
    pd.DataFrame(columns=["variant", "seed", "kid", "distance"]).to_csv(
        paths.samples(params.study) / "realism.csv", index=False
    )
    pd.DataFrame(columns=["variant", "seed", "task", "kid", "wasserstein"]).to_csv(
        paths.samples(params.study) / "tasks.csv", index=False
    )
    pd.DataFrame(
        [(k, 0, 0, 500, 0.1) for k in (100, 10)], columns=["images", "class", "seed", "updates", "kid"]
    ).to_csv(paths.gan(params.study) / "quality.csv", index=False)


@pytest.fixture
def made(made_up, monkeypatch):
    """Everything before the report, for a study given by keywords; the report is then of the figures `CURVES`."""

    def make(**study):
        study = made_up(**study)
        params = study.write()
        jobs.run(params, "summary")
        _no_samples(params)
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


def test_whole_page(made):
    params = made(diverged={"n_plus_1": {1: 300}}, smoke=("maml",))
    text, reader = _read(params)
    table = pd.read_csv(paths.tables("quick") / "accuracy.csv").set_index("label")
    own = next(row for row in reader.rows if row[0] == "N_PLUS_1")
    assert own[2] == f"{table.loc['N_PLUS_1', 'accuracy']:.2%}" and own[5] == "" and own[6:9] == ["2", "1", "800"]
    assert next(row for row in reader.rows if row[0] == "MAML")[8] == "400 (short)"
    assert "Short runs: survey." in text
    assert ["N_PLUS_1", "1", "300", ""] in reader.rows
    assert ["survey", "1", "400 (short)", "0", "20"] in reader.rows and not any(
        row[0] == "ablation" for row in reader.rows
    )
    claims = pd.read_csv(paths.claims("quick") / "claims.csv")
    shown = {row[0]: row for row in reader.rows if row[0] in set(claims["claim"])}
    for row in claims.itertuples():
        assert shown[str(row.claim)][2:4] == [row.verdict, row.reason]
    assert "0 supported, 0 opposite, 0 no difference, 0 undecided, 24 failed its gate." in " ".join(text.split())


def test_no_network_and_no_scripts(made):
    _, reader = _read(made())
    assert all(address.startswith(("data:image/svg+xml;base64,", "#")) for address in reader.addresses)
    assert not {"script", "link", "iframe"} & set(reader.tags)


def test_figures_stand_in_the_page_with_their_words(made):
    _, reader = _read(made(labels={"maml": '<b>"MAML" & co</b>'}))
    for number, name in enumerate(CURVES):
        image, caption, path = reader.images[number], reader.captions[number], paths.figures("quick") / name
        words = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert image["alt"] == words["alt"]
        assert base64.b64decode(image["src"].partition(",")[2]) == path.with_suffix(".svg").read_bytes()
        assert caption == f"Figure {number + 1}. {words['title']}. {words['caption']} figures/{name}.svg"
    assert "The paper says of its Fig. 5" in reader.captions[0] and '<b>"MAML" & co</b>' in reader.captions[0]


def test_text_is_escaped(made):
    text, reader = _read(made(labels={"maml": '<b>"MAML" & co</b>'}))
    assert "<b>" not in text and any(row[0] == '<b>"MAML" & co</b>' for row in reader.rows)


def test_every_number_of_the_claims_is_of_a_run(made):
    """Fewer than two seeds: no interval, no p value, and nothing in their places."""
    params = made(seeds=(0,))
    _, reader = _read(params)
    own = next(row for row in reader.rows if row[0] == "1" and len(row) == 9)
    (decision,) = decide(CLAIMS, evidence.read(params), params.claims)[:1]
    assert own[4] == f"{100 * decision.part.effect:+.2f} points" and own[5:8] == ["", "", "1"]
    assert not any(re.search(r"\bnan\b", cell, re.IGNORECASE) for row in reader.rows for cell in row)


def test_every_seed_diverged(made):
    _, reader = _read(made(seeds=(0,), diverged={"n_plus_1": {0: 100}}))
    own = next(row for row in reader.rows if row[0] == "N_PLUS_1" and len(row) == 9)
    assert own[2:8] == ["every seed diverged", "", "", "", "0", "1"]
    assert not np.any(["nan" in cell for row in reader.rows for cell in row])


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
    assert {path.name for path in paths.figures("quick").iterdir()} == drawn | {"record.json"}
    assert set(result.verified(paths.figures("quick"), "report")["files"]) == drawn
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
