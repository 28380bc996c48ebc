"""The claims' rules: in words and in parameters; and read from files, in any order, with lost and removed runs."""

import json
from pathlib import Path

import jobs
import numpy as np
import pandas as pd
import pytest
from claim_worlds import NAMES, World

from megan.config import params as parameters
from megan.config import paths
from megan.config.params import ParamsError
from megan.report.claims import evidence as evidence_of
from megan.report.claims.decide import SUPPORTED, VERDICTS, decide
from megan.report.claims.rules import ALL
from megan.report.claims.table import COLUMNS
from megan.report.claims.variants import SHARING
from megan.report.inputs import ReportError

ROOT = Path(__file__).parents[2]
PARAMS = parameters.load(ROOT / "params.yaml")
RULES = PARAMS.claims
TEXT = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")


def _rows(columns):
    """Rows of the tables of docs/claims.md with so many columns, by their first cell."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("|")
    ]
    return {row[0]: row[1:] for row in cells if len(row) == columns}


def test_document_has_every_claim_with_its_text_and_variants():
    rows = _rows(5)
    assert [name for name in rows if name not in ("#", "---")] == [claim.id for claim in ALL]
    for claim in ALL:
        text, variants = rows[claim.id][:2]
        assert text == claim.text
        for name in claim.variants:
            together = name in SHARING and "`multi_task_0` to `multi_task_4`" in variants
            assert together or f"`{name}`" in variants, (claim.id, name)


def test_document_has_every_constant():
    margins, needs = _rows(3), _rows(3)
    for key, value in RULES.model_dump().items():
        assert f"`{key}`" in TEXT, key
        if f"`{key}`" in margins:
            assert float(margins[f"`{key}`"][0]) == value, key
    for claim, least in RULES.least.items():
        assert needs[claim] == [str(least.seeds), f"{least.length:,}"], claim
    assert f"version of {RULES.version}" in TEXT and f"**{RULES.version}**" in TEXT
    assert all(f"**{verdict}**" in TEXT for verdict in VERDICTS)


def test_every_variant_of_a_claim_can_be_run():
    assert set(NAMES) <= set(PARAMS.of("paper").variants)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"least": {"18": {"seeds": 5, "length": 1}}}, "expected a claim: 1, 2"),
        ({"least": {}}, "expected least to have the claim '1'"),
        ({"least": {"1": {"seeds": 2, "length": 1}}}, "claims.least.1.seeds = 2"),
        ({"least": {"1": {"seedz": 5, "length": 1}}}, "unknown key 'claims.least.1.seedz'; did you mean"),
    ],
)
def test_a_wrong_least_is_named(tmp_path, change, told):
    document = parameters.read(ROOT / "params.yaml")
    document["claims"] |= change
    path = tmp_path / "params.yaml"
    path.write_text(json.dumps(document))
    with pytest.raises(ParamsError) as error:
        parameters.load(path)
    assert told in str(error.value)


def test_the_accuracy_below_which_a_run_learnt_nothing():
    assert evidence_of.least_accuracy(5, 0.1) == pytest.approx(0.28)


def _write(evidence, study="quick"):
    """The files that hold `evidence`, with the columns that claims read."""
    tables, samples, gan = paths.tables(study), paths.samples(study), paths.gan(study)
    for folder in (tables, samples, gan):
        folder.mkdir(parents=True, exist_ok=True)
    long = evidence.accuracy.reset_index().melt("seed", var_name="variant", value_name="accuracy").dropna()
    long.assign(tasks=long["variant"].map(evidence.tasks)).to_csv(tables / "seeds.csv", index=False)
    pd.DataFrame({"variant": list(evidence.meta_steps), "meta_steps": list(evidence.meta_steps.values())}).to_csv(
        tables / "accuracy.csv", index=False
    )
    lost = [(name, seed) for name, seeds in evidence.diverged.items() for seed in seeds]
    pd.DataFrame(lost, columns=["variant", "seed"]).to_csv(tables / "diverged.csv", index=False)
    curves = [
        curve.rename_axis("meta_step")
        .reset_index()
        .melt("meta_step", var_name="seed", value_name="accuracy")
        .assign(variant=name, split="validation")
        for name, curve in evidence.curves.items()
    ]
    pd.concat(curves).to_csv(tables / "curves.csv", index=False)
    both = [
        frame.reset_index().melt("seed", var_name="variant", value_name=column)
        for column, frame in (("kid", evidence.kid), ("distance", evidence.distance))
    ]
    both[0].merge(both[1], on=["seed", "variant"]).dropna().to_csv(samples / "realism.csv", index=False)
    evidence.by_task.to_csv(samples / "tasks.csv", index=False)
    evidence.snapshots.to_csv(samples / "snapshots.csv", index=False)
    evidence.gan.to_csv(gan / "quality.csv", index=False)


def _params(evidence, names=tuple(NAMES)):
    study = PARAMS.studies["quick"]
    tier = study.tiers.survey.model_copy(update={"seeds": evidence.planned["maml"], "meta_steps": 2500})
    tiers = study.tiers.model_copy(update={"headline": tier, "ablation": tier, "survey": tier})
    train = study.train.model_copy(update={"schedule": "constant"})
    # A question about an option that does not exist yet has no variant.
    variants = {name: PARAMS.variants.get(name, PARAMS.variants["n_plus_1"]) for name in names}
    return PARAMS.model_copy(
        update={
            "study": "quick",
            "studies": {"quick": study.model_copy(update={"tiers": tiers, "train": train})},
            "variants": variants,
        }
    )


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evidence = World(
        {"n_plus_1": 0.91, "multi_task_0": 0.89}, degrades=0.1, diverged={"n_plus_1": (3,)},
        failed={"multi_task_slow": (2, 5)}, study="quick",
    ).evidence()  # fmt: skip
    _write(evidence)
    return evidence


def test_files(written):
    jobs.run(_params(written), "claims")
    table = pd.read_csv(paths.claims("quick") / "claims.csv")
    assert list(table.columns) == [*COLUMNS, "dataset"] and table["claim"].tolist() == [claim.id for claim in ALL]
    direct = decide(ALL, written, RULES)
    assert table["verdict"].tolist() == [one.verdict for one in direct]
    assert np.allclose(table["effect"], [one.part.effect for one in direct], rtol=1e-4, atol=1e-6)
    assert table["family"].tolist() == [claim.family for claim in ALL]
    content = json.loads((paths.claims("quick") / "claims.json").read_text())
    first = content["claims"][0]
    assert (first["verdict"], first["seeds"], first["parts"][0]["by_seed"]) == (
        SUPPORTED,
        15,
        pytest.approx(direct[0].part.values, rel=1e-4),
    )
    assert first["parts"][0]["decides"] and not content["claims"][4]["parts"][-1]["decides"]
    assert content["rules"]["least"]["1"] == {"seeds": 16, "length": 20000}
    assert content["dataset"] == "glyphs" and set(table["dataset"]) == {"glyphs"}


def test_order_of_rows_and_other_variants_change_nothing(written):
    params = _params(written)
    jobs.run(params, "claims")
    files = [paths.claims("quick") / name for name in ("claims.csv", "claims.json")]
    before = [path.read_bytes() for path in files]
    for path in [
        *paths.tables("quick").iterdir(),
        *paths.samples("quick").iterdir(),
        paths.gan("quick") / "quality.csv",
    ]:
        table = pd.read_csv(path)
        if "variant" in table:  # a variant that params.yaml no longer has
            table = pd.concat([table, table[table["variant"] == table["variant"].iloc[0]].assign(variant="stranger")])
        table.sample(frac=1, random_state=0).to_csv(path, index=False)
    jobs.run(params, "claims")
    assert [path.read_bytes() for path in files] == before


def test_numbers_of_a_diverged_seed_are_not_read(written):
    params = _params(written)
    jobs.run(params, "claims")
    before = (paths.claims("quick") / "claims.json").read_bytes()
    with open(paths.tables("quick") / "seeds.csv", "a") as file:
        file.write("3,n_plus_1,0.0,100\n")
    jobs.run(params, "claims")
    assert (paths.claims("quick") / "claims.json").read_bytes() == before


def test_removed_variant(written):
    jobs.run(_params(written, tuple(name for name in NAMES if name != "n_plus_1_fcn_skip")), "claims")
    table = pd.read_csv(paths.claims("quick") / "claims.csv").set_index("claim")
    assert table.loc["16", "reason"] == "a variant is absent: n_plus_1_fcn_skip"
    assert np.isnan(table.loc["16", "effect"]) and np.isnan(table.loc["16", "p_holm"])


@pytest.mark.parametrize("path", ["tables/seeds.csv", "samples/tasks.csv", "gan/quality.csv"])
def test_missing_file(written, path):
    (paths.results("quick") / path).unlink()
    with pytest.raises(ReportError, match="missing; run `dvc repro`"):
        jobs.run(_params(written), "claims")
    assert not paths.claims("quick").exists()


def test_without_a_judge_claims_of_realism_fail_their_gate_and_others_do_not(written):
    params, samples = _params(written), paths.samples("quick")
    jobs.run(params, "claims")
    before = pd.read_csv(paths.claims("quick") / "claims.csv", index_col="claim")
    for name in ("realism.csv", "tasks.csv", "snapshots.csv"):
        table = pd.read_csv(samples / name).assign(kid=np.nan, judge_learnt=False)
        table.assign(**({"distance": np.nan} if name == "realism.csv" else {})).to_csv(samples / name, index=False)
    jobs.run(params, "claims")
    after = pd.read_csv(paths.claims("quick") / "claims.csv", index_col="claim")
    of_realism = ["8", "9", "10", "11", "14", "16", "17"]
    assert set(after.loc[of_realism, "verdict"]) == {"failed its gate"}
    assert after.loc[of_realism[:-1], "reason"].str.startswith("too few seeds with a value: 0").all()
    assert after.drop(of_realism)["effect"].equals(before.drop(of_realism)["effect"])
