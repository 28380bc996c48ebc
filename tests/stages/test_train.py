"""The stages `train` and `test` on tiny data: repeatable, resumable, unaffected by threads, chunks and other seeds."""

import json
import os
import signal
from dataclasses import replace

import jobs
import numpy
import pandas
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from megan.config import params, paths
from megan.data import packed
from megan.meta import setup
from megan.meta.iteration import OuterLoop, State, iteration
from megan.stages import train

DOCUMENT = params.resolved(params.read())


def settle(**train_options):
    """Write a tiny study into the working directory and return the parameters."""
    document = json.loads(json.dumps(DOCUMENT))
    document["study"] = "quick"
    study = document["studies"]["quick"]
    study["tasks"] |= {"ways": 3, "train_queries": 1, "test_queries": 2}
    study["inner"] |= {"steps": 3, "test_steps": 3}
    study["train"] |= {
        "meta_batch": 3,
        "log_every": 2,
        "validate_every": 4,
        "validation_tasks": 4,
        "checkpoint_every": 1,
    } | train_options
    tier = {"meta_steps": 1, "seeds": [0], "test_tasks": 5}
    study["tiers"] = {"headline": {**tier, "meta_steps": 6, "seeds": [0, 1]}, "ablation": tier, "survey": tier}
    study["test"] = {"sample_tasks": 2, "sample_queries": 2, "draws": 2, "other_queries": [1]}
    paths.PARAMS.write_text(yaml.safe_dump(document), encoding="utf-8")
    jobs.leave_judge(loaded := params.load())
    return loaded


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A throw-away working directory with random packed splits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEGAN_DEVICE", "cpu")
    monkeypatch.setenv("MEGAN_THREADS", "2")
    monkeypatch.setenv("MEGAN_CHUNK", "2")
    generator = numpy.random.default_rng(0)
    for name in ("train", "validation", "test"):
        images = {letter: generator.integers(0, 256, (4, 20, 28, 28), dtype=numpy.uint8) for letter in "AB"}
        packed.write(paths.split("quick", name), images, {letter: list("abcd") for letter in "AB"})
    return settle()


def outcome(variant="n_plus_1"):
    folder = paths.trained("quick", variant)
    return (folder / "curve.csv").read_bytes(), load_file(folder / "weights.safetensors")


def same(a, b):
    return a[0] == b[0] and a[1].keys() == b[1].keys() and all(torch.equal(a[1][name], b[1][name]) for name in a[1])


@pytest.mark.parametrize("variant", ["maml", "n_plus_1"])
def test_train_then_test(study, variant):
    jobs.run(study, "train", variant)
    curve = pandas.read_csv(paths.trained("quick", variant) / "curve.csv")
    assert list(curve.columns) == train.CURVE
    assert sorted(curve.loc[curve["split"] == "validation", "meta_step"].unique()) == [0, 4, 6]
    assert sorted(curve.loc[curve["split"] == "train", "meta_step"].unique()) == [2, 4, 6]
    assert curve["fake_wins"].isna().all() == (variant == "maml")
    doubts = curve[["p_fake_of_reals", "p_fake_of_fakes"]]
    assert (doubts.notna().all(axis=1) == ((curve["split"] == "validation") & (variant != "maml"))).all()
    record = json.loads((paths.trained("quick", variant) / "record.json").read_text())
    assert record["seeds"] == [0, 1] and record["diverged"] == {} and record["parameters"]["variant"]["fake_steps"] == 2
    assert not list(paths.RESUME.rglob("*.safetensors")), "resume state outlives its result"

    jobs.run(study, "test", variant)
    folder = paths.tested("quick", variant)
    tasks, steps = pandas.read_csv(folder / "tasks.csv"), pandas.read_csv(folder / "steps.csv")
    assert len(tasks) == 2 * 5 and list(steps["inner_step"]) == [0, 1, 2, 3] * 2
    doubts = steps[["p_fake_of_reals", "p_fake_of_fakes"]]
    assert doubts.isna().all(axis=None) if variant == "maml" else ((doubts > 0) & (doubts < 1)).all(axis=None)
    last = steps[steps["inner_step"] == 3].set_index("seed")["accuracy"]
    assert tasks.groupby("seed")["accuracy"].mean().to_numpy() == pytest.approx(last.to_numpy())
    queries = pandas.read_csv(folder / "queries.csv")
    assert list(zip(queries["seed"], queries["queries"], strict=True)) == [(0, 2), (1, 2), (0, 1), (1, 1)]
    assert queries.loc[queries["queries"] == 2, "accuracy"].to_numpy() == pytest.approx(last.to_numpy())
    assert queries.loc[queries["queries"] == 2, "standard_error"].to_numpy() == pytest.approx(
        tasks.groupby("seed")["accuracy"].sem().to_numpy()
    )
    assert ((queries["accuracy"] * 5 * 3 % 1).round(9) % 1 == 0)[queries["queries"] == 1].all(), (
        "five tasks of three ways and one query"
    )


def test_without_validation_the_last_weights_are_kept(study):
    jobs.run(settle(keep="last"), "train", "maml")
    with_validation = outcome("maml")
    document = yaml.safe_load(paths.PARAMS.read_text(encoding="utf-8"))
    data = {"protocol": "file_order", "validation_alphabets": 0, "train_characters": 8, "validation_characters": 0}
    document["studies"]["quick"]["data"] |= data
    document["studies"]["quick"]["tasks"]["scope"] = "any"
    paths.PARAMS.write_text(yaml.safe_dump(document), encoding="utf-8")
    paths.split("quick", "validation").unlink()
    jobs.run(params.load(), "train", "maml")
    curve = pandas.read_csv(paths.trained("quick", "maml") / "curve.csv")
    assert set(curve["split"]) == {"train"} and sorted(curve["meta_step"].unique()) == [2, 4, 6]
    record = json.loads((paths.trained("quick", "maml") / "record.json").read_text())
    assert record["best_meta_step"] == {"0": 6, "1": 6}
    # Other tasks, so other weights; but validation alone changes none.
    assert not same(outcome("maml"), with_validation)
    loaded = settle(keep="last", validate_every=1)
    packed.write(
        paths.split("quick", "validation"), {"A": numpy.zeros((4, 20, 28, 28), numpy.uint8)}, {"A": list("abcd")}
    )
    jobs.run(loaded, "train", "maml")
    again = outcome("maml")[1]
    assert all(torch.equal(value, with_validation[1][name]) for name, value in again.items())


def test_the_same_numbers_twice_and_with_any_number_of_threads(study, monkeypatch):
    results = []
    for threads in ("2", "2", "1"):
        monkeypatch.setenv("MEGAN_THREADS", threads)
        jobs.run(study, "train", "n_plus_1")
        results.append(outcome())
        (paths.trained("quick", "n_plus_1") / "record.json").unlink()  # or the result would be used as it is
    assert same(results[0], results[1]) and same(results[0], results[2])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(study, monkeypatch, capsys, number):
    study = settle(snapshots=[0, 2, 5])
    jobs.run(study, "train", "n_plus_1")
    undisturbed, kept = outcome(), paths.trained("quick", "n_plus_1") / "snapshots.safetensors"
    snapshots = load_file(kept)
    (paths.trained("quick", "n_plus_1") / "record.json").unlink()

    stop_after = 3
    taken = []

    def interrupted(*arguments):
        advance = iteration(*arguments)

        def step():
            advance()
            taken.append(1)
            if len(taken) == stop_after:
                os.kill(os.getpid(), number)

        return step

    monkeypatch.setattr(train, "iteration", interrupted)
    with pytest.raises(SystemExit) as stopped:
        jobs.run(study, "train", "n_plus_1")
    assert stopped.value.code == 128 + number
    assert signal.Signals(number).name in capsys.readouterr().err
    assert len(list(paths.RESUME.rglob("curve.csv"))) == 1
    jobs.run(study, "train", "n_plus_1")
    assert len(taken) == 6, "the second process did not go on from the third meta-step"
    assert same(outcome(), undisturbed)
    assert same((b"", load_file(kept)), (b"", snapshots)) and {name[0] for name in snapshots} == {"0", "2", "5"}


def test_snapshots_are_the_weights_of_their_meta_step_and_are_tested(study):
    loaded = settle(keep="last", snapshots=[6, 0, 3])
    jobs.run(loaded, "train", "n_plus_1")
    trained, tested = paths.trained("quick", "n_plus_1"), paths.tested("quick", "n_plus_1")
    assert json.loads((trained / "record.json").read_text())["snapshots"] == [0, 3, 6]
    kept, final = load_file(trained / "snapshots.safetensors"), load_file(trained / "weights.safetensors")

    # Slowly: one meta-step after the other, by hand.
    workers = setup.workers(loaded)
    system, sampler = setup.system(loaded, "n_plus_1"), setup.sampler(loaded, "n_plus_1", "train", workers)
    seeds, loop = torch.tensor([0, 1]), OuterLoop(loaded.current.train, 1, 6)
    state = State.fresh(system, seeds, torch.float32)
    advance = iteration(system, sampler, seeds, loop, state, workers)
    for step in range(7):
        if step in (0, 3, 6):
            for name, value in state.part("theta").items():
                assert torch.equal(kept[f"{step}/{name}"], value), (step, name)
        advance()
    assert all(torch.equal(kept[f"6/{name}"], value) for name, value in final.items())

    jobs.run(loaded, "test", "n_plus_1")
    rows = pandas.read_csv(tested / "snapshots.csv").set_index(["seed", "meta_step"])
    assert sorted(rows.index) == [(seed, step) for seed in (0, 1) for step in (0, 3, 6)]
    fakes = load_file(tested / "shown_snapshots.safetensors")
    realism = pandas.read_csv(tested / "snapshot_realism.csv").set_index(["seed", "meta_step"])
    assert sorted(realism.index) == sorted(rows.index) and rows.notna().all(axis=None)
    # The test of each snapshot is that of a run whose final weights it is.
    for step in (0, 3, 6):
        own = {name.partition("/")[2]: value for name, value in kept.items() if name.startswith(f"{step}/")}
        save_file(own, trained / "weights.safetensors")
        (trained / "snapshots.safetensors").unlink(missing_ok=True)
        jobs.run(loaded, "test", "n_plus_1")
        tasks = pandas.read_csv(tested / "tasks.csv").groupby("seed")
        at = rows.xs(step, level="meta_step")
        assert at["accuracy"].to_numpy() == pytest.approx(tasks["accuracy"].mean().to_numpy())
        assert at["standard_error"].to_numpy() == pytest.approx(tasks["accuracy"].sem().to_numpy())
        assert at["fake_wins"].to_numpy() == pytest.approx(tasks["fake_wins"].mean().to_numpy())
        assert torch.equal(load_file(tested / "shown.safetensors")["fakes"], fakes[f"fakes/{step}"])
        critic = pandas.read_csv(tested / "fakes.csv").groupby("seed")["wasserstein"].mean()
        own = realism.xs(step, level="meta_step")
        assert own["wasserstein"].to_numpy() == pytest.approx(critic.to_numpy())
        final = pandas.read_csv(tested / "realism.csv")
        for column in ("kid", "kid_low", "kid_high", "distance", "pixels", "collapse"):
            assert own[column].to_numpy() == pytest.approx(final[column].to_numpy(), nan_ok=True), column
        assert not (tested / "snapshots.csv").exists(), "training kept none this time"


def test_state_of_other_parameters_is_not_resumed(study, monkeypatch):
    def begins(parameters, save):
        """The meta-step that a run begins with; it ends there, with its state saved or not."""
        seen = []

        def run(training):
            seen.append(int(training.state["step"]))
            training.state["step"] += 5
            if save:
                training._save()
            raise KeyboardInterrupt

        monkeypatch.setattr(train.Training, "run", run)
        with pytest.raises(KeyboardInterrupt):
            jobs.run(parameters, "train", "maml")
        return seen[0]

    assert begins(study, save=True) == 0
    assert begins(study, save=False) == 5
    assert begins(settle(learning_rate=0.5), save=False) == 0


def first_steps(study, seeds, chunk, monkeypatch, steps=10):
    """The weights after ten meta-steps in float64, by seed."""
    monkeypatch.setenv("MEGAN_CHUNK", str(chunk))
    from megan.meta.parallel import Workers

    workers = Workers()
    system, sampler = setup.system(study, "n_plus_1"), setup.sampler(study, "n_plus_1", "train", workers)
    state = State.fresh(system, torch.tensor(seeds), torch.float64)
    loop = OuterLoop(study.current.train, study.current.tasks.train_queries, 100)
    advance = iteration(system, replace(sampler, dtype=torch.float64), torch.tensor(seeds), loop, state, workers)
    for _ in range(steps):
        advance()
    assert int(state["step"]) == steps and bool(state["alive"].all())
    return state.part("theta")


def test_a_seed_does_not_depend_on_the_seeds_beside_it_nor_on_the_chunks(study, monkeypatch):
    together = first_steps(study, [0, 1, 2], 3, monkeypatch)
    alone = first_steps(study, [1], 3, monkeypatch)
    other_chunks = first_steps(study, [1], 2, monkeypatch)
    for name, value in alone.items():
        assert torch.equal(together[name][1:2], value), name
        assert torch.allclose(other_chunks[name], value, rtol=1e-6, atol=1e-9), name


def test_a_diverged_seed_is_recorded_and_the_others_go_on(study, monkeypatch):
    jobs.run(study, "train", "maml")
    healthy = outcome("maml")
    (paths.trained("quick", "maml") / "record.json").unlink()
    from megan.meta import gradient

    real = gradient.stacked
    calls = []

    def poisoned(outers):
        outer = real(outers)
        calls.append(1)
        if len(calls) == 3:
            outer.gradient["cls.conv1"][0, 0, 0, 0, 0] = float("nan")
        return outer

    monkeypatch.setattr(gradient, "stacked", poisoned)
    jobs.run(study, "train", "maml")
    record = json.loads((paths.trained("quick", "maml") / "record.json").read_text())
    assert list(record["diverged"]) == ["0"] and record["diverged"]["0"]["meta_step"] == 2
    curve, weights = outcome("maml")
    assert all(torch.equal(weights[name][1], healthy[1][name][1]) for name in weights), "the healthy seed changed"
    rows = pandas.read_csv(paths.trained("quick", "maml") / "curve.csv")
    assert rows.loc[rows["seed"] == 0, "meta_step"].max() == 2
    jobs.run(study, "test", "maml")
    assert set(pandas.read_csv(paths.tested("quick", "maml") / "tasks.csv")["seed"]) == {1}


def test_prototypes_reach_the_generator(study, monkeypatch):
    """The whole way from a pre-trained encoder."""
    document = yaml.safe_load(paths.PARAMS.read_text(encoding="utf-8"))
    document["studies"]["quick"]["encoder"] |= {"steps": 1, "batch_size": 4}
    document["variants"]["n_plus_1"] |= {"conditioning": "prototype"}
    paths.PARAMS.write_text(yaml.safe_dump(document), encoding="utf-8")
    with_prototypes = params.load()
    jobs.run(with_prototypes, "encoder")
    told = paths.encoder("quick") / "metrics.json"
    metrics = json.loads(told.read_text())
    told.write_text(json.dumps(metrics | {"validation_accuracy": 1 / 8}))  # of eight classes
    with pytest.raises(setup.EncoderError, match="raise encoder.steps = 1 .params.yaml: studies.quick.") as refused:
        jobs.run(with_prototypes, "train", "n_plus_1")
    assert "variants.n_plus_1.conditioning = 'prototype'" in str(refused.value) and "guessing" in str(refused.value)
    jobs.run(with_prototypes, "train", "maml")  # which does not rely on it
    told.write_text(json.dumps(metrics | {"validation_accuracy": 0.9}))
    jobs.run(with_prototypes, "train", "n_plus_1")
    assert outcome()[1]["gen.prototype"].shape[1] == 512
    jobs.run(with_prototypes, "test", "n_plus_1")


def test_variants_meet_the_same_test_tasks(study, monkeypatch):
    from megan.data.episodes import Sampler

    met = {}
    sample = Sampler.sample
    for variant in ("maml", "n_plus_1"):
        jobs.run(study, "train", variant)
        seen = met[variant] = []
        monkeypatch.setattr(Sampler, "sample", lambda *a, seen=seen: seen.append(sample(*a)) or seen[-1])
        monkeypatch.setenv("MEGAN_THREADS", "1")
        jobs.run(study, "test", variant)
        monkeypatch.setattr(Sampler, "sample", sample)
    # The tasks that samples are kept from come after those that are scored.
    assert 0 < len(met["maml"]) < len(met["n_plus_1"])
    for ours, theirs in zip(met["maml"], met["n_plus_1"], strict=False):
        assert torch.equal(ours.support, theirs.support) and torch.equal(ours.query, theirs.query)
