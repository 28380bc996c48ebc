"""The tables and the metrics file of a made-up study, whose right numbers are known."""

import json
import math

import jobs
import numpy as np
import pandas as pd
import pytest

from megan.config import paths
from megan.report.statistics import seed_interval, task_interval


def _tables():
    return {path.stem: pd.read_csv(path) for path in paths.tables("quick").glob("*.csv")}


def _tasks(variant):
    return pd.read_csv(paths.tested("quick", variant) / "tasks.csv")


def test_every_table_has_its_columns(made_up):
    jobs.run(made_up().write(), "summary")
    assert {name: list(table.columns) for name, table in _tables().items()} == {
        "curves": ["variant", "label", "seed", "meta_step", "split", "accuracy", "loss", "fake_wins"],
        "curves_mean": ["variant", "meta_step", "split", "accuracy"],
        "validation": ["meta_step", "maml", "n_plus_1"],
        "accuracy": [
            "study",
            "dataset",
            "variant",
            "label",
            "tier",
            "seeds",
            "diverged",
            "tasks",
            "accuracy",
            "ci95_tasks",
            "ci95_seeds",
            "fake_wins",
            "meta_steps",
            "meta_batch",
            "short",
        ],
        "seeds": ["variant", "label", "seed", "tasks", "accuracy", "ci95_tasks", "fake_wins", "best_meta_step"],
        "comparisons": [
            "variant",
            "label",
            "reference",
            "difference",
            "ci95_seeds",
            "ci95_tasks_within_seeds",
            "seeds",
            "tasks",
            "meta_steps",
            "reference_meta_steps",
            "alphabets",
            "difference_alphabets",
            "ci95_alphabets",
        ],
        "alphabets": [
            "variant",
            "label",
            "alphabet",
            "seeds",
            "tasks",
            "accuracy",
            "ci95_seeds",
            "difference",
            "difference_ci95_seeds",
        ],
        "steps": ["variant", "seed", "inner_step", "accuracy", "fake_wins", "p_fake_of_reals", "p_fake_of_fakes"],
        "snapshots": [
            "variant",
            "label",
            "seed",
            "meta_step",
            "accuracy",
            "standard_error",
            "loss",
            "fake_wins",
        ],
        "diverged": ["variant", "label", "seed", "meta_step", "loss"],
    }


def test_accuracy_is_the_mean_over_seeds(made_up):
    jobs.run(made_up().write(), "summary")
    tables = _tables()
    for row in tables["accuracy"].itertuples():
        means = _tasks(row.variant).groupby("seed")["accuracy"].mean()
        assert row.accuracy == pytest.approx(means.mean(), abs=1e-6)
        assert row.ci95_seeds == pytest.approx(seed_interval(means), abs=1e-6)
        assert (row.seeds, row.diverged, row.tasks, row.meta_steps) == (3, 0, 60, 800)
        own = tables["seeds"][tables["seeds"]["variant"] == row.variant]
        assert own["accuracy"].tolist() == pytest.approx(means.tolist(), abs=1e-6)
        first = _tasks(row.variant).query("seed == 0")["accuracy"]
        assert own["ci95_tasks"].iloc[0] == pytest.approx(task_interval(first), abs=1e-6)
    assert tables["accuracy"]["fake_wins"].isna().tolist() == [True, False]


def test_difference_to_maml(made_up):
    jobs.run(made_up().write(), "summary")
    (row,) = _tables()["comparisons"].itertuples()
    both = _tasks("n_plus_1").merge(_tasks("maml"), on=["seed", "task"])
    means = (both["accuracy_x"] - both["accuracy_y"]).groupby(both["seed"]).mean()
    assert (row.variant, row.reference, row.seeds, row.tasks) == ("n_plus_1", "maml", 3, 60)
    assert row.difference == pytest.approx(means.mean(), abs=1e-6)
    assert row.ci95_seeds == pytest.approx(seed_interval(means), abs=1e-6)


def test_a_diverged_seed_is_named_and_never_averaged(made_up):
    params = made_up(diverged={"n_plus_1": {1: 300}}).write()
    # Rows that should not be there, and would show in any mean.
    with open(paths.tested("quick", "n_plus_1") / "tasks.csv", "a") as file:
        file.writelines(f"1,{task},0.0,1.0\n" for task in range(20))
    jobs.run(params, "summary")
    tables = _tables()
    tasks = _tasks("n_plus_1").query("seed != 1")
    row = tables["accuracy"].set_index("variant").loc["n_plus_1"]
    assert (row["seeds"], row["diverged"], row["tasks"]) == (2, 1, 40)
    assert row["accuracy"] == pytest.approx(tasks["accuracy"].mean(), abs=1e-6)
    assert tables["diverged"][["variant", "seed", "meta_step"]].values.tolist() == [["n_plus_1", 1, 300]]
    assert tables["diverged"]["loss"].isna().all()
    assert tables["seeds"].query("variant == 'n_plus_1'")["seed"].tolist() == [0, 2]
    assert tables["comparisons"]["seeds"].tolist() == [2]
    assert set(tables["steps"].query("variant == 'n_plus_1'")["seed"]) == {0, 2}
    curves = tables["curves"].query("variant == 'n_plus_1'")
    assert curves.query("seed == 1")["meta_step"].max() == 300
    finished = curves.query("seed != 1 and split == 'validation'").groupby("meta_step")["accuracy"].mean()
    mean = (
        tables["curves_mean"]
        .query("variant == 'n_plus_1' and split == 'validation'")
        .set_index("meta_step")["accuracy"]
    )
    assert np.allclose(mean, finished, atol=1e-6)


def test_every_seed_diverged(made_up):
    jobs.run(made_up(seeds=(0,), diverged={"n_plus_1": {0: 300}, "maml": {0: 100}}).write(), "summary")
    tables = _tables()
    assert tables["accuracy"]["seeds"].tolist() == [0, 0]
    assert tables["accuracy"]["accuracy"].isna().all()
    assert tables["seeds"].empty and tables["steps"].empty and tables["curves_mean"].empty
    metrics = json.loads(paths.metrics("quick").read_text())
    assert metrics == dict.fromkeys(("maml", "n_plus_1", "difference", "difference_ci95")) | {
        "seeds": 0,
        "diverged_seeds": 2,
    }


def test_metrics_repeat_the_tables(made_up):
    jobs.run(made_up().write(), "summary")
    metrics, tables = json.loads(paths.metrics("quick").read_text()), _tables()
    table = tables["accuracy"].set_index("variant")["accuracy"]
    assert (metrics["maml"], metrics["n_plus_1"]) == pytest.approx((table["maml"], table["n_plus_1"]), abs=1e-5)
    (row,) = tables["comparisons"].itertuples()
    assert metrics["difference"] == pytest.approx(row.difference, abs=1e-5)
    assert metrics["difference_ci95"] == pytest.approx(row.ci95_seeds, abs=1e-5)
    assert (metrics["seeds"], metrics["diverged_seeds"]) == (3, 0)


def test_one_seed_has_no_interval(made_up):
    jobs.run(made_up(seeds=(0,)).write(), "summary")
    assert json.loads(paths.metrics("quick").read_text())["difference_ci95"] is None


def test_removed_variants_stay_out(made_up):
    made_up(variants=("maml", "n_plus_1", "old")).write()
    jobs.run(made_up().params, "summary")
    assert _tables()["accuracy"]["variant"].tolist() == ["maml", "n_plus_1"]


def test_shorter_runs_say_so(made_up):
    jobs.run(made_up(smoke=("n_plus_1",)).write(), "summary")
    (row,) = _tables()["comparisons"].itertuples()
    assert (row.seeds, row.meta_steps, row.reference_meta_steps) == (1, 400, 800)
    assert math.isnan(row.ci95_seeds)


def test_without_maml_nothing_is_compared(made_up):
    jobs.run(made_up(variants=("a", "b")).write(), "summary")
    assert _tables()["comparisons"].empty


def test_a_rerun_gives_the_same_bytes_and_leaves_no_old_table(made_up):
    params = made_up(diverged={"n_plus_1": {1: 300}}).write()
    jobs.run(params, "summary")
    files = [paths.metrics("quick"), *sorted(paths.tables("quick").iterdir())]
    before = [path.read_bytes() for path in files]
    (paths.tables("quick") / "old.csv").write_text("a\n1\n")
    jobs.run(params, "summary")
    assert [paths.metrics("quick"), *sorted(paths.tables("quick").iterdir())] == files
    assert [path.read_bytes() for path in files] == before
    assert not [path for path in paths.results("quick").rglob("*.tmp")]


def test_snapshots_of_finished_seeds_are_stacked(made_up):
    study = made_up(diverged={"n_plus_1": {2: 80}})
    params = study.write()
    for name, accuracy in (("maml", 0.5), ("n_plus_1", 0.75)):
        rows = [(seed, step, accuracy, 0.01, 1.5, 0.25) for seed in (0, 1, 2) for step in (500, 0)]
        table = pd.DataFrame(rows, columns=["seed", "meta_step", "accuracy", "standard_error", "loss", "fake_wins"])
        table.to_csv(paths.tested(params.study, name) / "snapshots.csv", index=False)
    jobs.run(params, "summary")
    found = pd.read_csv(paths.tables(params.study) / "snapshots.csv")
    assert [*zip(found["variant"], found["seed"], found["meta_step"], found["accuracy"], strict=True)] == [
        *(("maml", seed, step, 0.5) for seed in (0, 1, 2) for step in (0, 500)),
        *(("n_plus_1", seed, step, 0.75) for seed in (0, 1) for step in (0, 500)),
    ]


def test_results_by_alphabet(made_up):
    """Of the made-up tasks every second one is of alphabet A, the others of B."""
    jobs.run(made_up().write(), "summary")
    tables = _tables()
    mine, maml = (_tasks(name).query("alphabet == 'A'") for name in ("n_plus_1", "maml"))
    row = tables["alphabets"].query("variant == 'n_plus_1' and alphabet == 'A'").iloc[0]
    means = mine.groupby("seed")["accuracy"].mean()
    differences = means - maml.groupby("seed")["accuracy"].mean()
    assert (row["seeds"], row["tasks"]) == (3, len(mine))
    assert row["accuracy"] == pytest.approx(means.mean(), rel=1e-5)
    assert row["difference"] == pytest.approx(differences.mean(), rel=1e-4)
    assert row["difference_ci95_seeds"] == pytest.approx(seed_interval(differences), rel=1e-4)
    both = tables["alphabets"].query("variant == 'n_plus_1'")["difference"]
    headline = tables["comparisons"].query("variant == 'n_plus_1'").iloc[0]
    assert headline["alphabets"] == 2 and headline["difference_alphabets"] == pytest.approx(both.mean(), rel=1e-4)
    assert headline["ci95_alphabets"] == pytest.approx(seed_interval(both), rel=1e-3)


def test_tasks_of_several_alphabets_are_in_no_table_of_alphabets(made_up):
    params = made_up().write()
    for name in ("maml", "n_plus_1"):
        path = paths.tested("quick", name) / "tasks.csv"
        pd.read_csv(path).assign(alphabet="").to_csv(path, index=False)
    jobs.run(params, "summary")
    assert _tables()["alphabets"].empty and set(_tables()["comparisons"]["alphabets"]) == {0}


def test_validation_curves_have_no_gaps_where_another_variant_was_validated(made_up):
    """`dvc plots` would draw a gap as an accuracy of 0."""
    jobs.run(made_up(variants=("maml", "n_plus_1", "short"), smoke=("short",)).write(), "summary")
    table = _tables()["validation"]
    assert table["meta_step"].tolist() == list(range(100, 801, 100))  # `short` was validated every 50
    assert table[["maml", "n_plus_1"]].notna().all(axis=None)
    assert table["short"].count() == 4
