"""The numbers of the findings and of README.md are those of the records."""

import json
import math
import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from megan.report.claims import power
from tools import findings
from tools.findings import records

PILOT = records.ROOT / "results/record" / records.PILOT


@pytest.mark.parametrize("file", findings.FILES)
def test_committed_numbers_are_those_of_the_records(file):
    assert findings.written(file) == (records.ROOT / file).read_text(encoding="utf-8"), "run: python -m tools.findings"


@pytest.mark.parametrize("file", [file for file in findings.FILES if file.startswith("docs/")])
def test_no_number_of_a_result_stands_outside_the_marks(file):
    text = findings.MARK.sub("", (records.ROOT / file).read_text(encoding="utf-8"))
    assert re.findall(r"[\d.]+ ?(?:points|%)", text) == []


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The pilot's record as that of study `text`, provisional, beside the pilot itself; and a file with all blocks."""
    for name in ("text", records.PILOT):
        shutil.copytree(PILOT, tmp_path / "results/record" / name)
    folder = tmp_path / "results/record/text"
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest |= {"study": "text", "provisional": True, "not_run": ["test@n_plus_1_hybrid", "gan"]}
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    settings = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(settings.replace(f"  {records.PILOT}:", "  text:"))
    told = json.loads((folder / "claims/claims.json").read_text())  # with constants that the pilot's rules did not have
    told["rules"] |= {"gains": [0.8, 0.9, 0.95], "kid_floor": 0.01}
    told["claims"] = [one | {"claim": str(one["claim"]), "verdict": "supported"} for one in told["claims"]]
    (folder / "claims/claims.json").write_text(json.dumps(told))
    steps = pd.read_csv(folder / "tables/steps.csv").assign(p_fake_of_fakes=0.5)  # nor had its tables
    steps.to_csv(folder / "tables/steps.csv", index=False)
    monkeypatch.setattr(records, "ROOT", tmp_path)
    text = "".join(f"<!-- findings {name} -->\n<!-- end findings {name} -->\n" for name in findings.BLOCKS)
    (tmp_path / "page.md").write_text(text)
    return folder


def _block(text, name):
    return re.search(rf"<!-- findings {name} -->\n(.*?)<!-- end findings {name} -->", text, re.DOTALL)[1]


def _rows(lines):
    """The cells of a table of Markdown."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def test_numbers_follow_the_tables(copied):
    path = copied / "tables/comparisons.csv"
    table = pd.read_csv(path)
    table.loc[table["variant"] == "n_plus_1", ["difference", "ci95_seeds"]] = (-0.0123, 0.0045)
    table.to_csv(path, index=False)
    text = findings.written("page.md")
    assert "a difference of -1.23 points (95 % interval over seeds ± 0.45)" in _block(text, "answer")
    assert "a provisional record" in _block(text, "answer") and "provisional, 2 left" in _block(text, "studies")
    first, second = _block(text, "pair").splitlines()[2:]
    assert first.startswith("| [text, train/n_plus_1](results/record/text/train/n_plus_1/record.json) | 8 |")
    assert "-1.23 ± 0.45" in first and "+0.75 ± 0.41" in second
    assert "7 of 8" in _block(text, "noise") and "Control: fake output, no fakes" in _block(text, "controls")
    assert "(results/record/text/figures/outer_losses.png)" in _block(text, "figure")


def test_the_difference_over_alphabets(copied):
    before = _block(findings.written("page.md"), "alphabets")
    assert before == "No record has this yet.\n", "the pilot has no such table"
    path = copied / "tables/comparisons.csv"
    table = pd.read_csv(path).assign(difference_alphabets=0.0051, ci95_alphabets=0.0023)
    table.to_csv(path, index=False)
    cells = [("maml", "Tibetan", None), *[("n_plus_1", f"{value}", value) for value in (0.1, -0.1, 0.2)]]
    rows = pd.DataFrame(cells, columns=["variant", "alphabet", "difference"])
    rows.to_csv(copied / "tables/alphabets.csv", index=False)
    text = _block(findings.written("page.md"), "alphabets")
    assert text == "- [text](results/record/text): +0.51 points (± 0.23); N+1 is ahead in 2 of 3 alphabets.\n"


def test_the_papers_numbers_and_the_claims_have_their_rows(copied):
    text = findings.written("page.md")
    row = next(line for line in _block(text, "paper").splitlines() if "red (MAML)" in line).split(" | ")
    assert row[1] == "85.6 % after 238" and row[2].endswith("after 1,000 (validation)") and row[5] == "no"
    assert "**supported** | +0.75 points | +0.34 to +1.16 | 0.50 points | 0.85 points" in _block(text, "claims")
    assert "undecided: 3, 4, 5" in _block(text, "claims")
    assert records.PILOT not in _block(text, "paper") and "[text, " not in _block(text, "paper_elsewhere")
    assert f"[{records.PILOT}, train/maml]" in _block(text, "paper_elsewhere")
    assert _block(text, "anchor") == _block(text, "questions") == "No record has this yet.\n"


@pytest.mark.parametrize(("spread", "inside"), [(0.001, "no"), (0.05, "yes")])
def test_the_papers_numbers_on_validation_tasks_have_meta_test_beside_them(copied, spread, inside):
    """Of the nearest meta-step whose weights were kept; MAML of Fig. 6 ends with 85.6 % in the paper."""
    assert "ours on meta-test" not in _block(findings.written("page.md"), "paper"), "the pilot kept no weights"
    rows = [("maml", seed, step, 0.8 + (seed - 1) * spread) for seed in (0, 1, 2) for step in (0, 900)]
    table = pd.DataFrame(rows, columns=["variant", "seed", "meta_step", "accuracy"])
    table.to_csv(copied / "tables/snapshots.csv", index=False)
    head, _, *lines = _block(findings.written("page.md"), "paper").splitlines()
    cells = {line.split(" | ")[0]: line.split(" | ")[6] for line in lines}
    assert head.split(" | ")[6] == "ours on meta-test tasks; inside"
    assert cells["| Fig. 6, red (MAML)"] == f"80.0 % after 900; {inside}" and cells["| Fig. 6, grey (N+1, real)"] == ""


def test_the_claims_that_matter_have_the_verdict_of_the_replication(copied):
    folder = records.ROOT / records.paths.RECORD / records.REPLICATION
    shutil.copytree(PILOT.with_name(records.REPLICATION), folder)
    path = folder / "claims/claims.csv"
    table = pd.read_csv(path, dtype=object)
    table["effect"] = None
    table.loc[0, ["verdict", "effect", "unit"]] = ("opposite", -0.0123, "accuracy")
    table.to_csv(path, index=False)
    first, second, *rest = _block(findings.written("page.md"), "matter").splitlines()[2:]
    assert first.endswith("**supported** | +0.75 points (+0.34 to +1.16) | opposite, -1.23 points |")
    assert second.startswith("| 2 |") and second.endswith("|  |")
    assert [row.split(" | ")[0] for row in rest] == ["| 7", "| 15"]  # the pilot's rules have no own questions


def test_the_answer_tells_the_replication_if_it_was_run(copied):
    assert "replication" not in _block(findings.written("page.md"), "answer")
    folder = records.ROOT / records.paths.RECORD / records.REPLICATION
    shutil.copytree(PILOT.with_name(records.REPLICATION), folder)
    for name, column, row, values in (
        ("tables/accuracy", "variant", "maml", {"meta_steps": 1200}),
        ("tables/accuracy", "variant", "n_plus_1", {"seeds": 3, "meta_steps": 1200, "meta_batch": 4}),
        ("tables/comparisons", "variant", "n_plus_1", {"difference": -0.0123, "ci95_seeds": 0.0045}),
        ("claims/claims", "claim", "1", {"verdict": "opposite"}),
        ("claims/claims", "claim", "2", {"verdict": "undecided"}),
    ):
        table = pd.read_csv(folder / f"{name}.csv", dtype=object)
        table.loc[table[column] == row, list(values)] = list(values.values())
        table.to_csv(folder / f"{name}.csv", index=False)
    text = _block(findings.written("page.md"), "answer")
    assert "3 seeds, 1,200 meta-steps of 4 tasks): N+1 - MAML is -1.23 points (± 0.45)" in text
    assert "There claim 1 is **opposite** and claim 2 **undecided**." in text
    table = pd.read_csv(folder / "tables/accuracy.csv").query("variant != 'n_plus_1'")
    table.to_csv(folder / "tables/accuracy.csv", index=False)
    found = records.records("page.md")
    assert not any("replication" in line for line in findings.BLOCKS["answer"](found))


def _verdicts(copied, **changes):
    """The answer, with other numbers for claim 1 and with an own question."""
    path = copied / "claims/claims.csv"
    table = pd.read_csv(path, dtype={"claim": str}).query("claim in ['1', '2', '3']")
    table.loc[table["claim"] == "1", list(changes)] = list(changes.values())
    own = table[table["claim"] == "3"].assign(claim="Q1", verdict="no difference")
    pd.concat([table, own]).to_csv(path, index=False)
    return _block(findings.written("page.md"), "answer")


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.006, 0.009, "**supported**."),
        (0.004, 0.009, "**supported**, but the difference may be below 0.50 points"),
        (0.001, 0.004, "**supported**, by less than 0.50 points"),
    ],
)
def test_the_answer_says_whether_the_difference_may_be_too_small_to_matter(copied, low, high, told):
    assert told in _verdicts(copied, ci95_low=low, ci95_high=high, margin=0.005)


def test_the_answer_counts_the_paper_s_claims_and_our_questions_apart(copied):
    text = _verdicts(copied)
    assert "of the paper's claims 1 supported, 2 undecided; of our own questions 1 no difference." in text


def test_the_answer_tells_the_meta_steps_that_n_plus_1_needs(copied):
    path = copied / "claims/claims.json"
    told = json.loads(path.read_text())
    factor = {"unit": "log of the factor"}
    effects = {-math.log(by): half for by, half in ((1.5, 0.1), (1.25, 0.3), (0.8, 0.1))}
    parts = [{"unit": "accuracy", "effect": 0.1}]
    parts += [
        {**factor, "effect": effect, "ci95_low": effect - half, "ci95_high": effect + half}
        for effect, half in effects.items()
    ]
    next(one for one in told["claims"] if one["claim"] == "2")["parts"] = parts
    path.write_text(json.dumps(told))
    text = _block(findings.written("page.md"), "answer")
    assert "needs 1.50, 1.25 (interval covers 1) and 0.80 times as many meta-steps as MAML to reach 80, 90 and" in text


def test_seeds_for_a_verdict_are_the_fewest_that_find_the_effect(copied):
    effects = (0.01, 0.02, 0.03)
    part = {"text": "a minus b", "unit": "accuracy", "threshold": 0.0, "seeds": 3, "p_opposite": 0.1}
    own = {"verdict": "undecided", "family": "some", "part": "a minus b", "p_opposite": 0.2, "detectable": 1.0}
    above = own | {"claim": "3", "parts": [part | {"by_seed": effects, "effect": 0.02}]}
    below = own | {"claim": "4", "parts": [part | {"by_seed": [-one for one in effects], "effect": -0.02}]}
    no_mean_of_seeds = own | {"claim": "13", "parts": [part | {"by_seed": effects, "effect": 0.5}]}
    path = copied / "claims/claims.json"
    told = json.loads(path.read_text())
    told["rules"] |= {"level": 0.025, "power": 0.8}
    no_t_test = above | {"claim": "17", "detectable": None}
    decided = above | {"claim": "5", "verdict": "supported"}
    told["claims"] = [above, below, no_mean_of_seeds, no_t_test, decided]
    path.write_text(json.dumps(told))
    rows = _rows(findings.BLOCKS["more_seeds"](records.records("page.md")))
    assert [row[:4] for row in rows] == [
        ["3", "a minus b", "+2.00 points", "3"],
        ["4", "a minus b", "-2.00 points", "3"],
    ]
    for row, tests in zip(rows, (5, 10), strict=True):  # the second could be decided by one part of two
        seeds = int(row[4])
        enough, fewer = (power.power(0.02, 0.01, count, 0.025 / tests) for count in (seeds, seeds - 1))
        assert enough >= 0.8 > fewer


def test_claim_14_is_shown_without_each_pair(copied):
    path = copied / "claims/claims.json"
    told = json.loads(path.read_text())
    part = {"unit": "accuracy", "ci95_low": -0.02, "ci95_high": 0.04, "seeds": 6}
    texts = {"the losses": -0.11, "the losses, without one and other": 0.01}
    parts = [part | {"text": text, "effect": effect} for text, effect in texts.items()]
    next(one for one in told["claims"] if one["claim"] == "14")["parts"] = parts
    path.write_text(json.dumps(told))
    assert _rows(findings.BLOCKS["without_pairs"](records.records("page.md"))) == [
        ["none (the claim)", "-11.00 points", "-2.00 to +4.00", "6"],
        ["one and other", "+1.00 points", "-2.00 to +4.00", "6"],
    ]


def test_n_plus_1_is_compared_with_the_survey_after_as_many_meta_steps(copied):
    assert _block(findings.written("page.md"), "fakes_of_multi_task") == "No record has this yet.\n"
    names = ("n_plus_1", "n_plus_1_weighted", "n_plus_1_equal")
    early = [(name, seed, step, step / 1000) for name in names for seed in (0, 1) for step in (100, 300, 2500)]
    pd.DataFrame(early, columns=["variant", "seed", "meta_step", "accuracy"]).to_csv(
        copied / "tables/snapshots.csv", index=False
    )
    late = [("maml_short", 0, 0.25), ("maml_short", 1, 0.25), ("multi_task_0", 0, 0.4), ("n_plus_1", 0, 0.9)]
    pd.DataFrame(late, columns=["variant", "seed", "accuracy"]).to_csv(copied / "tables/seeds.csv", index=False)
    lengths = {"maml_short": 300, "multi_task_0": 300, **dict.fromkeys(names, 2500)}
    about = [(name, f"label of {name}", length) for name, length in lengths.items()]
    pd.DataFrame(about, columns=["variant", "label", "meta_steps"]).to_csv(copied / "tables/accuracy.csv", index=False)
    lines = findings.BLOCKS["fakes_of_multi_task"](records.records("page.md"))
    assert lines[0] == "| after 300 meta-steps | less label of maml_short | less label of multi_task_0 |"
    rows = _rows(lines)
    assert [row[0] for row in rows] == [f"label of {name}" for name in names]
    assert all(row[1] == "+5.00 ± 0.00" and row[2].startswith("-10.00") for row in rows)


def test_the_hours_of_a_study_are_those_of_its_provenance(copied):
    for path in (copied / "provenance").glob("*.json"):
        told = json.loads(path.read_text())
        hours = {"judge": 1.5, "train-maml": 2.25, "train-n_plus_1": 3.0}.get(path.stem, 0)
        path.write_text(json.dumps(told | {"wall_seconds": hours * 3600, "threads": 4}))
    row = _block(findings.written("page.md"), "studies").splitlines()[2].split(" | ")
    assert row[3:10] == ["0.00", "3.00", "10.50", "0.00", "0.00", "0.00", "13.5"]


def test_records_of_other_data_have_a_table_of_their_own(copied):
    shutil.copytree(PILOT.with_name("mini_imagenet_cpu"), records.ROOT / records.paths.RECORD / "mini_imagenet_cpu")
    text = findings.written("page.md")
    own = _block(text, "other_data").splitlines()[2:]
    assert [row.split(" | ")[:2] for row in own] == [
        ["| mini-ImageNet", "MAML"], ["| mini-ImageNet", "N+1, 3:1, fakes in last 2 steps"]
    ]  # fmt: skip
    assert "mini_imagenet_cpu" in _block(text, "studies")
    assert not any("mini_imagenet_cpu" in _block(text, name) for name in ("pair", "controls", "noise", "paper"))


def test_figure_10_has_all_points_of_the_paper(copied):
    shutil.copytree(PILOT.with_name("code"), records.ROOT / records.paths.RECORD / "code")
    rows = _block(findings.written("page.md"), "figure_10").splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == [
        "42.0 % after 0", "88.0 % after 500", "90.3 % after 1,000", "90.7 % after 1,500"
    ]  # fmt: skip


def test_readings_of_the_code_stand_below_the_papers_curve(copied):
    folder = records.ROOT / records.paths.RECORD / "code"
    shutil.copytree(PILOT.with_name("code"), folder)
    path = folder / "tables/snapshots.csv"
    table = pd.read_csv(path).query("variant in ['maml_long', 'maml_norm_first']")
    steps = {0: 0.1, 500: 0.2, 1000: 0.3, 1500: 0.4}
    table["accuracy"] = table["meta_step"].map(steps) + table["variant"].eq("maml_norm_first") * 0.05
    table.to_csv(path, index=False)
    paper, *ours = _block(findings.written("page.md"), "readings").splitlines()[2:]
    assert paper == "| the paper | 42.0 % | 88.0 % | 90.3 % | 90.7 % | 1 | read off the picture |"
    assert [row.split(" | ")[1:6] for row in ours] == [
        ["10.0 %", "20.0 %", "30.0 %", "40.0 %", "3"], ["15.0 %", "25.0 %", "35.0 %", "45.0 %", "3"]
    ]  # fmt: skip


def _as_code_more(folder):
    """A copy of the record of `code` in `folder` becomes a record of `code_more`."""
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    (folder / "MANIFEST.json").write_text(json.dumps(manifest | {"study": "code_more"}))
    (folder / "params.yaml").write_text((folder / "params.yaml").read_text().replace("  code:", "  code_more:"))


def test_maml_on_two_processors_is_compared_seed_by_seed(copied):
    for study, more in (("code", 0.0), ("code_more", 0.01)):
        folder = records.ROOT / records.paths.RECORD / study
        shutil.copytree(PILOT.with_name("code"), folder)
        rows = [("maml_long", "MAML", seed, 500, 0.5 + seed / 10 + more) for seed in (0, 1, 2)]
        table = pd.DataFrame(rows, columns=["variant", "label", "seed", "meta_step", "accuracy"])
        table.to_csv(folder / "tables/snapshots.csv", index=False)
    _as_code_more(folder)
    found = _rows(_block(findings.written("page.md"), "processors").splitlines())
    assert found == [["500", "60.0 %", "61.0 %", "+1.00 ± 0.00"]]


def test_multi_task_with_either_generator_stands_below_the_papers_curve(copied):
    folder = records.ROOT / records.paths.RECORD / "code_more"
    shutil.copytree(PILOT.with_name("code"), folder)
    _as_code_more(folder)
    rows = [
        (name, seed, step, first + seed / 10 + step / 10_000)
        for name, first, seeds in (("multi_task_0_authors", 0.5, [0]), ("multi_task_0", 0.3, [0, 1]))
        for seed in seeds
        for step in (0, 238, 500, 1000, 1500)
    ]
    table = pd.DataFrame(rows, columns=["variant", "seed", "meta_step", "accuracy"])
    table.assign(label=table["variant"]).to_csv(folder / "tables/snapshots.csv", index=False)
    found = _rows(_block(findings.written("page.md"), "generators").splitlines())
    assert [row[:6] for row in found] == [
        ["the paper", "43.0 %", "74.7 %", "85.8 %", "84.8 %", "1"],
        ["multi_task_0", "35.0 %", "40.0 %", "45.0 %", "50.0 %", "2"],
        ["multi_task_0_authors", "50.0 %", "55.0 %", "60.0 %", "65.0 %", "1"],
    ]


def test_the_hours_of_a_tier_are_those_of_its_variants(copied):
    for stage, seconds in (("train-maml", 3600), ("train-n_plus_1", 7200), ("test-n_plus_1", 360)):
        told = json.dumps({"wall_seconds": seconds, "threads": 2})
        (copied / f"provenance/{stage}.json").write_text(told)
    rows = [
        row for row in _rows(_block(findings.written("page.md"), "tiers").splitlines()) if row[0].startswith("[text]")
    ]
    headline = next(row for row in rows if row[1] == "headline")
    test = json.loads((copied / "provenance/test-maml.json").read_text())
    own = test["wall_seconds"] * test["threads"] / 2 / 3600
    assert headline[2:] == ["2", "8 x 2,500", "3.00", f"{own + 0.1:.2f}"]


def test_findings_are_not_written_from_an_altered_record(tmp_path):
    for folder in ("tools", "results/record", "docs"):
        shutil.copytree(records.ROOT / folder, tmp_path / folder)
    (tmp_path / "results/record/text/tables/accuracy.csv").write_text("variant\n")
    command, environment = [sys.executable, "-m", "tools.findings"], os.environ | {"PYTHONPATH": str(records.ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "text/tables/accuracy.csv is altered according to MANIFEST.json" in done.stderr
    assert (tmp_path / "docs/findings.md").read_text() == (records.ROOT / "docs/findings.md").read_text()


def test_a_record_of_ones_own_is_no_part_of_the_findings(copied):
    before = findings.written("page.md")
    own = copied.with_name("mine")
    shutil.copytree(copied, own)
    manifest = json.loads((own / "MANIFEST.json").read_text())
    (own / "MANIFEST.json").write_text(json.dumps(manifest | {"study": "mine"}))
    assert findings.written("page.md") == before


def test_second_order_compares_n_plus_1_and_maml_of_two_records(copied):
    for study, variant, first in (("code", "maml_second_order", 0.5), ("code_more", "n_plus_1_second_order", 0.53)):
        assert _block(findings.written("page.md"), "second_order") == "No record has this yet.\n"
        folder = records.ROOT / records.paths.RECORD / study
        shutil.copytree(PILOT.with_name("code"), folder)
        runs = pd.DataFrame([(seed, step) for seed in (0, 1) for step in (0, 1000)], columns=["seed", "meta_step"])
        accuracy = first + runs["meta_step"] / 10_000 + runs["seed"] / 100
        other = pd.DataFrame({"variant": "maml_long", "seed": [0], "meta_step": 500, "accuracy": 0.9})
        table = pd.concat([runs.assign(variant=variant, accuracy=accuracy), other]).assign(label="A label")
        table.to_csv(folder / "tables/snapshots.csv", index=False)
    _as_code_more(folder)
    found = _rows(_block(findings.written("page.md"), "second_order").splitlines())
    assert found == [["0", "50.5 %", "53.5 %", "+3.00 ± 0.00"], ["1,000", "60.5 %", "63.5 %", "+3.00 ± 0.00"]]


def test_multi_task_in_the_settings_of_the_code_beside_maml_of_its_seeds(copied):
    """MAML of `code` less 10 points, on each seed that both have; the paper's points of Fig. 8 beside it."""
    code = PILOT.with_name("code")
    shutil.copytree(code, records.ROOT / records.paths.RECORD / "code")
    folder = records.ROOT / records.paths.RECORD / "code_more"
    shutil.copytree(code, folder)
    _as_code_more(folder)
    renamed = {"variant": "multi_task_0", "label": "Multi-task"}
    for name in ("seeds", "accuracy", "snapshots"):
        table = pd.read_csv(folder / f"tables/{name}.csv").query("variant == 'maml_long'").assign(**renamed)
        table["accuracy"] -= 0.1
        if name == "seeds":
            table = pd.concat([table, table.tail(1).assign(seed=99, accuracy=0.0)])
        table.to_csv(folder / f"tables/{name}.csv", index=False)
    realism = pd.DataFrame({"variant": "multi_task_0", "seed": [0, 1], "kid": [2.0, 8.0]})
    realism.to_csv(folder / "samples/realism.csv", index=False)
    text = findings.written("page.md")
    ((label, _, difference, kid, seeds, _),) = _rows(_block(text, "multi_task").splitlines())
    assert (label, difference, kid, seeds) == ("Multi-task", "-10.00 ± 0.00", "4.00", "4")
    shown = [row[:2] for row in _rows(_block(text, "figure_8").splitlines())]
    assert shown == [
        ["Fig. 8, image, generator step 0.4", "43.0 % after 0"],
        ["Fig. 8, image, generator step 0.4", "74.7 % after 500"],
        ["Fig. 8, image, generator step 0.4", "85.8 % after 1,000"],
        ["Fig. 8, image, generator step 0.4", "84.8 % after 1,500"],
    ]


def test_the_pair_over_training_leaves_out_other_variants_and_their_meta_steps(copied):
    rows = ["variant,seed,meta_step,accuracy"]
    for seed in (0, 1):
        rows += [f"maml,{seed},{step},0.5" for step in (0, 100)]
        rows += [f"n_plus_1,{seed},{step},{0.4 + step / 500}" for step in (0, 100)]
        rows += [f"n_plus_1_wasserstein,{seed},{step},0.2" for step in (0, 50)]
    (copied / "tables/snapshots.csv").write_text("\n".join(rows) + "\n")
    table = _rows(_block(findings.written("page.md"), "over_training").splitlines())
    assert [row[1:] for row in table] == [
        ["0", "50.0 %", "40.0 %", "-10.00 ± 0.00"],
        ["100", "50.0 %", "60.0 %", "+10.00 ± 0.00"],
    ]


def test_the_search_shows_the_chosen_settings_and_those_of_the_study(copied):
    folder = records.ROOT / records.paths.RECORD / "search"
    (folder / "search").mkdir(parents=True)
    (folder / "MANIFEST.json").write_text(json.dumps({"study": "search"}))
    own = {"train": {"learning_rate": 0.001, "schedule": "constant"}, "inner": {"learning_rate": 0.4}}
    settings = {"studies": {"search": own | {"data": {"dataset": "omniglot"}}}, "variants": {}}
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    head = "approach,rank,chosen,variant,outer_step,inner_step,schedule,seeds,diverged,accuracy,ci95_seeds,loss\n"
    (folder / "search/search.csv").write_text(
        head
        + "maml,1,True,best,0.002,0.4,cosine,3,0,0.9,0.01,0.3\n"
        + "maml,2,False,middle,0.002,0.4,constant,3,0,0.8,0.01,0.3\n"
        + "maml,3,False,own,0.001,0.4,constant,3,0,0.7,0.01,0.3\n"
    )
    first, second = _block(findings.written("page.md"), "search").splitlines()[2:]
    assert first.startswith("| maml | 0.002 | 0.4 | cosine | 90.0 % ± 1.0 | 3 | 1 of 3 | [search, train/best](")
    assert second.startswith("| maml | 0.001 | 0.4 | constant | 70.0 % ± 1.0 | 3 | 3 of 3 | [search, train/own](")


@pytest.mark.parametrize(("accuracy", "inside"), [(0.9829, "no"), (0.9831, "yes"), (0.9909, "yes"), (0.9911, "no")])
def test_the_anchor_is_compared_at_the_published_number_of_queries(copied, accuracy, inside):
    folder = records.ROOT / records.paths.RECORD / "anchor"
    shutil.copytree(PILOT.with_name("anchor"), folder)
    table = folder / "test/maml/queries.csv"
    table.write_text(f"seed,queries,accuracy,standard_error\n0,15,0.987,0.001\n0,1,{accuracy},0.001\n")
    one, fifteen = _block(findings.written("page.md"), "anchor").splitlines()[2:]
    assert one.startswith(f"| 1 | {100 * accuracy:.2f} % ± 0.20 | 98.7 % ± 0.4 | {inside} | 0 |")
    assert fifteen.startswith("| 15 | 98.70 % ± 0.20 |  |  | 0 |")


def test_the_speeds_are_those_of_the_claim_and_higher_shares_are_marked():
    record = records.main_record(records.records("README.md"))
    claims = json.loads((record.folder / "claims/claims.json").read_text())["claims"]
    claim = next(one for one in claims if one["claim"] == "2")
    rows = _rows(findings.BLOCKS["speed"]([record]))
    for part, row in zip(claim["parts"], rows[:4], strict=True):
        factor = part["unit"] != "accuracy"
        effect, low, high = (
            f"{math.exp(part[key]):.2f}" if factor else f"{100 * part[key]:+.2f}"
            for key in ("effect", "ci95_low", "ci95_high")
        )
        ahead = f"{sum(value > 0 for value in part['by_seed'])} of {part['seeds']}"
        assert row[1] == f"{effect} ({low} to {high}); ahead in {ahead}"
    assert [row[0].endswith("*") for row in rows] == [False] * 4 + [True] * 2


def test_the_chosen_step_sizes_are_compared_on_the_seeds_that_all_have(copied):
    """The search makes MAML 1 point and N+1 4 points better than the study; it has two of the eight seeds."""
    assert _block(findings.written("page.md"), "chosen") == "No record has this yet.\n"
    for name in ("curves", "seeds"):
        path = copied / f"tables/{name}.csv"
        table = pd.read_csv(path)
        table.loc[table["variant"] == "n_plus_1", "accuracy"] = table.loc[table["variant"] == "maml", "accuracy"].values
        again = [
            table[(table["variant"] == variant) & (table["seed"] < 102)].assign(
                variant=f"{variant}_searched", accuracy=lambda rows, gain=gain: rows["accuracy"] + gain
            )
            for variant, gain in (("maml", 0.01), ("n_plus_1", 0.04))
        ]
        pd.concat([table, *again]).to_csv(path, index=False)
    tested, area, *speeds = _rows(_block(findings.written("page.md"), "chosen").splitlines())
    for row in (tested, area):
        assert [cell.partition(" ")[0] for cell in row[1:]] == ["0", "+3.00", "+4.00"]
        assert [cell.partition("; ")[2] for cell in row[1:]] == [f"ahead in {ahead} of 2" for ahead in (0, 2, 2)]
    assert [row[1] for row in speeds] == ["1.00 (1.00 to 1.00); ahead in 0 of 2"] * 3


def test_the_pair_is_compared_where_the_papers_figure_6_ends(copied):
    path = copied / "tables/curves.csv"
    table = pd.read_csv(path).query("split == 'validation'")
    late = table["meta_step"].eq(1000) & table["variant"].eq("n_plus_1")
    other = table[table["meta_step"].eq(1000) & table["variant"].eq("maml")].set_index("seed")["accuracy"]
    table.loc[late, "accuracy"] = table.loc[late, "seed"].map(other) - 0.0123
    table.to_csv(path, index=False)
    head, _, *rows = _block(findings.written("page.md"), "length").splitlines()
    assert head.split(" | ")[3] == "[text](results/record/text)"
    assert rows[-1].startswith("| 238 | 7,616 | +0.6 | -1.23 ± 0.00 | ")


def test_controls_are_compared_on_the_seeds_that_both_have(copied):
    path = copied / "tables/seeds.csv"
    accuracy = {"maml": [0.5, 0.5, 0.5, 0.5], "n_plus_1": [0.51, 0.53, 0.59, 0.57], "control_output_only": [0.51, 0.51]}
    rows = [(name, seed, value) for name, values in accuracy.items() for seed, value in enumerate(values)]
    pd.DataFrame(rows, columns=["variant", "seed", "accuracy"]).to_csv(path, index=False)
    pair, same, control = _rows(_block(findings.written("page.md"), "controls").splitlines())[:3]
    assert pair[1].startswith("+5.00 ± ") and pair[2:4] == ["", "4"]
    assert same[0].endswith("(0 to 1)") and same[1].startswith("+2.00 ± ") and same[2:4] == ["", "2"]
    assert control[1:4] == ["+1.00 ± 0.00", "+1.00 ± 12.71", "2"]


def test_the_fakes_have_their_realism_and_what_the_classifier_makes_of_them(copied):
    head = "variant,seed,inner_step,accuracy,fake_wins,p_fake_of_reals,p_fake_of_fakes\n"
    steps = [("maml", 1, 0.5, ""), ("maml", 5, 0.8, ""), ("n_plus_1", 1, 0.7, 0.0), ("n_plus_1", 5, 0.9, 0.25)]
    steps += [("control_output_only", 1, 0.6, ""), ("control_output_only", 5, 0.8, "")]
    lines = "".join(f"{name},0,{step},{share},,,{fake}\n" for name, step, share, fake in steps)
    (copied / "tables/steps.csv").write_text(head + lines)
    (copied / "samples/realism.csv").write_text(
        "variant,seed,kid,distance\nn_plus_1,0,-1,0.5\nn_plus_1,1,1,0.7\nreal,0,0,0.2\n"
    )
    rows = {row[0]: row[1:] for row in _rows(_block(findings.written("page.md"), "fakes").splitlines())}
    assert rows["N+1, real outer loss"] == ["0.10", "0.60", "25 %", "70.0 %", "90.0 %"]
    assert rows["MAML"] == ["", "", "", "50.0 %", "80.0 %"] and rows["real images"][:2] == ["0.01", "0.20"]


def test_an_unknown_block_is_an_error(copied):
    (records.ROOT / "page.md").write_text("<!-- findings answr -->\n<!-- end findings answr -->\n")
    with pytest.raises(KeyError, match="answr"):
        findings.written("page.md")
