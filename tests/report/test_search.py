"""Stage `search`: the setting with the best validation accuracy is chosen, and nothing of meta-test is read."""

import json
import shutil

import jobs
import pandas as pd
import pytest

from megan.config import paths
from megan.report.search import Tried, ranked


def tried(variant: str, *accuracy: float, own: bool = False, diverged: int = 0, approach: str = "maml") -> Tried:
    values = dict(enumerate(accuracy))
    return Tried(variant, approach, 0.001, 0.4, "constant", own, diverged, values, {seed: 1.0 for seed in values})


def chosen(*some: Tried) -> list[str]:
    table = ranked(list(some))
    return table.loc[table["chosen"], "variant"].tolist()


def test_highest_mean_of_each_approach():
    some = [tried("a", 0.5, 0.7), tried("b", 0.65, 0.65), tried("c", 0.9, 0.9, approach="n_plus_1")]
    assert chosen(*some) == ["b", "c"]
    table = ranked(some)
    assert table["rank"].tolist() == [1, 2, 1]
    assert table["accuracy"].tolist() == pytest.approx([0.65, 0.6, 0.9])


def test_of_equal_ones_the_study_s_own_settings_then_the_first():
    assert chosen(tried("a", 0.1, 0.2), tried("b", 0.2, 0.1), tried("c", 0.15, 0.15, own=True)) == ["c"]
    assert chosen(tried("a", 0.1, 0.2), tried("b", 0.2, 0.1)) == ["a"]


def test_a_diverged_seed_ranks_behind():
    assert chosen(tried("a", 0.9, diverged=1), tried("b", 0.3, 0.3)) == ["b"]
    assert chosen(tried("a", diverged=2), tried("b", 0.3, diverged=1)) == ["b"]


def test_from_the_curves_alone(made_up):
    """The last validation decides; a seed that diverged is left out; no meta-test result is needed."""
    params = made_up(variants=("maml", "other"), diverged={"other": {2: 400}}).write()
    shutil.rmtree(paths.results(params.study) / "test")
    jobs.run(params, "search")
    folder = paths.results(params.study) / "search"
    table = pd.read_csv(folder / "search.csv").set_index("variant")
    curve = pd.read_csv(paths.trained(params.study, "maml") / "curve.csv").query("split == 'validation'")
    last = curve[curve["meta_step"] == curve["meta_step"].max()]
    assert table.loc["maml", "accuracy"] == pytest.approx(last["accuracy"].mean(), abs=1e-6)
    assert table.loc["other", ["seeds", "diverged"]].tolist() == [2, 1]
    assert json.loads((folder / "record.json").read_text())["chosen"] == {"maml": "maml"}
