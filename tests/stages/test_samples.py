"""Measures of fakes, on images whose realism is known, and the stage `samples`, which collects them."""

import json

import jobs
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from megan.config import params, paths
from megan.data import packed
from megan.realism import fake_quality, measures
from megan.runs import result

TASKS, WAYS, SHOTS, QUERIES, DRAWS, COPIES = 16, 3, 2, 6, 3, 2  # COPIES is M
SOURCE = np.random.default_rng(0)


def drawings(classes, count, seed):
    """uint8 [tasks, ways, count, 8, 8] of classes [tasks, ways, 8, 8], each drawing its own way."""
    noise = np.random.default_rng(seed).integers(-25, 26, (*classes.shape[:2], count, 8, 8))
    return (classes[:, :, None] + noise).clip(0, 255).astype(np.uint8)


CLASSES = SOURCE.integers(0, 2, (TASKS, WAYS, 2, 2)).repeat(4, axis=2).repeat(4, axis=3) * 60 + 30
SUPPORT = drawings(CLASSES, SHOTS, 1).reshape(TASKS, WAYS * SHOTS, 8, 8)
QUERY = drawings(CLASSES, QUERIES, 2).swapaxes(1, 2)


def as_fakes(images):
    """[tasks, ways, draws * M * shots, 8, 8] -> [tasks, draws, M * ways * shots, 8, 8]"""
    shape = (TASKS, WAYS, DRAWS, COPIES, SHOTS, 8, 8)
    return images.reshape(shape).transpose(0, 2, 3, 1, 4, 5, 6).reshape(TASKS, DRAWS, -1, 8, 8)


FAKES = {
    "real": as_fakes(drawings(CLASSES, DRAWS * COPIES * SHOTS, 3)),
    "copies": np.tile(SUPPORT, (1, COPIES, 1, 1))[:, None].repeat(DRAWS, axis=1),
    "noise": SOURCE.integers(0, 256, (TASKS, DRAWS, COPIES * WAYS * SHOTS, 8, 8), dtype=np.uint8),
    "blank": np.zeros((TASKS, DRAWS, COPIES * WAYS * SHOTS, 8, 8), np.uint8),
}


def embed(images):
    """Four features of an image: the means of its quarters."""
    return torch.nn.functional.avg_pool2d(images.movedim(-1, 1).float() / 255, 4).flatten(1)


def judged_of(fakes, seeds=(4,), drawn=True, queries=QUERIES):
    seeds = list(seeds)
    critic = torch.tensor([[seed + task / 10 for task in range(TASKS)] for seed in seeds], dtype=torch.float64)
    fakes, support, query = (torch.from_numpy(np.stack([images] * len(seeds))) for images in (fakes, SUPPORT, QUERY))
    return fake_quality.judged(
        fake_quality.Made(fakes, support, query[:, :, :queries], critic.reshape(len(seeds), TASKS), seeds, drawn), embed
    )


@pytest.fixture(scope="module")
def judged():
    """The table of all kinds of fakes by name, with real images as `real`; and the table of tasks of real drawings."""
    found = {name if name != "real" else "other": judged_of(fakes) for name, fakes in FAKES.items()}
    rows = {name: one.fakes.iloc[0] for name, one in found.items()} | {"real": found["other"].real.iloc[0]}
    return pd.DataFrame(rows).T, found["other"].tasks


def test_realism_orders_what_is_known(judged):
    kid = judged[0]["kid"]
    assert abs(kid["other"]) < 0.05 * min(kid["noise"], kid["blank"])
    assert judged[0].loc[["noise", "blank"], "kid_low"].min() > 0
    assert (
        judged[0].loc["other", "kid_low"]
        < judged[0].loc["other", "kid_high"]
        < 0.05 * judged[0].loc["noise", "kid_low"]
    )


def test_copies_are_near_and_their_draws_alike(judged):
    table = judged[0]
    assert table.loc["copies", "distance"] == pytest.approx(0) and table.loc["copies", "pixels"] == 0
    assert 0 < table.loc["other", "distance"] < table.loc["noise", "distance"] and table.loc["other", "pixels"] > 0.03
    assert 0.9 < table.loc["other", "collapse"] < 1
    # Two shots, so two images a class; they are less alike than an image is to itself.
    assert table.loc["copies", "collapse"] > table.loc["other", "collapse"]


def test_kid_is_that_of_all_pairs_of_tasks(judged):
    features, size = feature(QUERY), measures.scale(feature(QUERY))
    fakes = feature(FAKES["noise"])
    both = [values.reshape(TASKS, -1, 4) / size for values in (features, fakes)]
    found = measures.kid_of_groups(measures.group_pairs(*both), 4)
    assert judged[0].loc["noise", ["kid", "kid_low", "kid_high"]].tolist() == pytest.approx(list(found))


def test_tasks_of_a_seed(judged):
    """KID within one task is over pairs of its classes. Each fake counts for the class that it was made from."""
    rows = judged[1]
    assert (
        list(rows.columns) == fake_quality.TASKS
        and list(rows["task"]) == list(range(TASKS))
        and list(rows["seed"]) == [4] * TASKS
    )
    assert rows["wasserstein"].tolist() == pytest.approx([4 + task / 10 for task in range(TASKS)])
    size = measures.scale(feature(QUERY))
    by_class = drawings(CLASSES, DRAWS * COPIES * SHOTS, 3)
    wanted = [
        measures.mean_of_groups(
            measures.group_pairs(feature(QUERY[task].swapaxes(0, 1)) / size, feature(by_class[task]) / size)
        )
        for task in range(TASKS)
    ]
    assert rows["kid"].tolist() == pytest.approx(wanted, abs=1e-6) and np.ptp(wanted) > 1e-4


def feature(images):
    quarters = images.reshape(*images.shape[:-2], 2, 4, 2, 4).astype(float) / 255
    return quarters.mean(axis=(-3, -1)).reshape(*images.shape[:-2], 4)


def test_the_floor_is_real_against_real(judged):
    row = judged[0].loc["real"]
    assert row["seed"] == 4 and row["images"] == QUERY[..., 0, 0].size
    size = measures.scale(feature(QUERY))
    halves = [feature(QUERY[:, start::2]).reshape(TASKS, -1, 4) / size for start in (0, 1)]
    assert row["kid"] == pytest.approx(measures.mean_of_groups(measures.group_pairs(*halves)))
    assert row["collapse"] == pytest.approx(judged[0].loc["other", "collapse"], abs=0.02)


def test_real_characters_as_fakes_have_no_draws():
    measured = judged_of(FAKES["copies"], drawn=False).fakes
    assert np.isnan(measured.loc[0, "collapse"]) and measured.loc[0, "kid"] < 1


def test_every_seed_has_a_row_and_none_has_none():
    found = judged_of(FAKES["real"], (2, 7))
    assert list(found.fakes["seed"]) == list(found.real["seed"]) == [2, 7] and len(found.tasks) == 2 * TASKS
    found = fake_quality.judged(
        fake_quality.Made(*[torch.empty(0)] * 4, seeds=[], drawn=True),
        embed,
    )
    assert list(found.fakes.columns) == list(found.real.columns) == fake_quality.REALISM
    assert list(found.tasks.columns) == fake_quality.TASKS
    assert len(found.fakes) == len(found.real) == len(found.tasks) == 0


def test_one_query_a_class_has_no_floor():
    found = judged_of(FAKES["real"], queries=1)
    assert np.isfinite(found.fakes.loc[0, "kid"])
    assert np.isnan(found.real.loc[0, ["kid", "collapse"]].astype(float)).all()


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A working directory with the results that the stage reads: MAML, and three variants with fakes.

    Two of the variants lost seeds.
    """
    document = params.resolved(params.read())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEGAN_DEVICE", "cpu")
    monkeypatch.setenv("MEGAN_THREADS", "1")
    document["study"], names = "quick", ("maml", "n_plus_1", "n_plus_1_equal", "n_plus_1_weighted")
    for tier in document["studies"]["quick"]["tiers"].values():
        tier["seeds"] = [0, 1]
    document["variants"] = {name: document["variants"][name] for name in names}
    paths.PARAMS.write_text(yaml.safe_dump(document), encoding="utf-8")
    source = np.random.default_rng(0)
    packed.write(
        paths.split("quick", "train"),
        {
            name: source.integers(0, 256, (size, 20, 28, 28), dtype=np.uint8)
            for name, size in (("A", 15), ("B", 3), ("C", 16))
        },
        {name: [str(number) for number in range(size)] for name, size in (("A", 15), ("B", 3), ("C", 16))},
    )  # fmt: skip
    loaded = params.load()
    paths.judge("quick").mkdir(parents=True)
    (paths.judge("quick") / "metrics.json").write_text(
        '{"classes": 4, "validation_accuracy": 0.75, "validation_drawings": 16}'
    )
    jobs.leave_record(loaded, "judge")
    for name, seeds in {"maml": None, "n_plus_1": [1], "n_plus_1_equal": [0, 1], "n_plus_1_weighted": []}.items():
        leave(loaded, name, seeds)
    return loaded


def leave(study, name, seeds):
    """What `test` would leave; `seeds`: those that finished, None without fakes."""
    folder, source = paths.tested("quick", name), np.random.default_rng(len(name))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").unlink(missing_ok=True)
    if seeds is not None:
        shapes = {"fakes": (2, 3, 2, 4), "support": (2, 3, 4), "query": (2, 3, 2, 4)}
        images = {
            key: torch.from_numpy(source.integers(0, 256, (*shape, 28, 28), dtype=np.uint8))[seeds]
            for key, shape in shapes.items()
        }
        save_file({**images, "seeds": torch.tensor(seeds, dtype=torch.int64)}, folder / "shown.safetensors")
        rows = [(seed, *source.random(len(fake_quality.REALISM) - 1)) for seed in seeds]
        pd.DataFrame(rows, columns=fake_quality.REALISM).to_csv(folder / "realism.csv", index=False)
        rows = [(seed, *[seed + 0.5] * (len(fake_quality.REALISM) - 1)) for seed in seeds]
        pd.DataFrame(rows, columns=fake_quality.REALISM).to_csv(folder / "real.csv", index=False)
        rows = [(seed, task, 0.25, 0.5) for seed in seeds for task in range(3)]
        pd.DataFrame(rows, columns=fake_quality.TASKS).to_csv(folder / "fakes.csv", index=False)
    jobs.leave_record(study, "test", name)


def test_the_stage(study):
    jobs.run(study, "samples")
    folder = paths.samples("quick")
    measured, tasks = pd.read_csv(folder / "realism.csv"), pd.read_csv(folder / "tasks.csv")
    assert [*zip(measured["variant"], measured["seed"], strict=True)] == [
        ("n_plus_1", 1),
        ("n_plus_1_equal", 0),
        ("n_plus_1_equal", 1),
        ("real", 0),
        ("real", 1),
    ]
    assert list(measured.columns) == ["variant", *fake_quality.REALISM, "judge_learnt"]
    assert measured["judge_learnt"].all() and pd.read_csv(folder / "snapshots.csv").empty
    assert measured["kid"].tolist()[-2:] == [0.5, 1.5], "real images of seeds 0 and 1, each once"
    written = pd.read_csv(paths.tested("quick", "n_plus_1") / "realism.csv")
    assert measured.loc[0, "distance"] == pytest.approx(written.loc[0, "distance"], rel=1e-8)
    assert len(tasks) == 9 and list(tasks.columns) == ["variant", *fake_quality.TASKS, "judge_learnt"]
    grids, record = load_file(folder / "grids.safetensors"), result.verified(folder, "samples")
    assert record["seed"] == 1, "the seed that most variants finished"
    assert record["alphabets"] == ["A", "C"] and grids["examples"].shape == (2, 15, 28, 28), (
        "B has too few characters for a row"
    )
    train = packed.load(paths.split("quick", "train")).images[..., 0]
    assert torch.equal(grids["examples"][1, 2], train[15 + 3 + 2, 0]) and torch.equal(
        grids["examples"][1, -1], train[15 + 3, -1]
    )
    assert sorted(grids) == sorted(
        [
            "examples",
            *(f"{kind}/{name}" for kind in ("fakes", "support", "query") for name in ("n_plus_1", "n_plus_1_equal")),
        ]
    )
    assert torch.equal(
        grids["fakes/n_plus_1_equal"],
        load_file(paths.tested("quick", "n_plus_1_equal") / "shown.safetensors")["fakes"][1],
    )
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    jobs.run(study, "samples")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert json.loads(paths.provenance("quick", "samples").read_text())["wall_seconds"] > 0


def leave_snapshots(study, name, seeds, steps):
    """Fakes of earlier meta-steps, beside the final ones of `leave`."""
    leave(study, name, seeds)
    folder, source = paths.tested("quick", name), np.random.default_rng(7)
    fakes = {
        f"fakes/{step}": torch.from_numpy(source.integers(0, 256, (len(seeds), 3, 2, 4, 28, 28), dtype=np.uint8))
        for step in steps
    }
    save_file(fakes, folder / "shown_snapshots.safetensors")
    rows = [(seed, step, *source.random(len(fake_quality.OVER_TRAINING) - 2)) for seed in seeds for step in steps]
    pd.DataFrame(rows, columns=fake_quality.OVER_TRAINING).to_csv(folder / "snapshot_realism.csv", index=False)
    (folder / "record.json").unlink()
    jobs.leave_record(study, "test", name)
    return fakes, rows


def test_realism_over_training_is_collected(study):
    jobs.run(study, "samples")
    folder = paths.samples("quick")
    before = {name: (folder / name).read_bytes() for name in ("realism.csv", "tasks.csv")}
    fakes, written = leave_snapshots(study, "n_plus_1_equal", [0, 1], [0, 20, 100])
    jobs.run(study, "samples")
    assert before == {name: (folder / name).read_bytes() for name in before}, "the final rows changed"
    rows = pd.read_csv(folder / "snapshots.csv")
    assert list(rows.columns) == ["variant", *fake_quality.OVER_TRAINING, "judge_learnt"]
    assert set(rows["variant"]) == {"n_plus_1_equal"} and rows["judge_learnt"].all() and len(rows) == 6
    for row, wanted in zip(rows[fake_quality.OVER_TRAINING].to_numpy(float), written, strict=True):
        assert row == pytest.approx(wanted, rel=1e-8)
    grids = load_file(folder / "grids.safetensors")
    assert torch.equal(grids["fakes/n_plus_1_equal@20"], fakes["fakes/20"][1]), "seed 1 is shown"


def test_a_judge_that_guesses_measures_nothing(study, capsys):
    leave_snapshots(study, "n_plus_1_equal", [0, 1], [20])
    (paths.judge("quick") / "metrics.json").write_text(
        '{"classes": 4, "validation_accuracy": 0.3125, "validation_drawings": 16}'
    )
    jobs.run(study, "samples")
    folder = paths.samples("quick")
    measured, tasks = pd.read_csv(folder / "realism.csv"), pd.read_csv(folder / "tasks.csv")
    snapshots = pd.read_csv(folder / "snapshots.csv")
    for table in (measured, snapshots):
        assert len(table) and table[fake_quality.IN_FEATURES].isna().all(axis=None)
        assert not table["judge_learnt"].any() and table["pixels"].notna().all()
    assert len(tasks) == 9 and tasks["kid"].isna().all() and tasks["wasserstein"].notna().all()
    assert result.verified(folder, "samples")["judge_accuracy"]["learnt"] is False
    told = capsys.readouterr().err
    assert "the judge recognises 31.25% of 16 held-out images of 4 classes" in told
    assert "raise studies.quick.judge.steps = 60" in told


def test_without_any_fakes_left(study):
    for name in ("n_plus_1", "n_plus_1_equal"):
        leave(study, name, [])
    jobs.run(study, "samples")
    assert len(pd.read_csv(paths.samples("quick") / "realism.csv")) == 0
    assert list(load_file(paths.samples("quick") / "grids.safetensors")) == ["examples"]
