"""Fakes of adapted generators: repeatable, and different in each draw.

They are made on the tasks that are scored, and the adapted critic judges them.
"""

import jobs
import numpy
import pandas
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from megan.config import params, paths
from megan.data import packed
from megan.data.episodes import Sampler, TaskSet
from megan.meta import generation, setup
from megan.meta.adapt import adapt
from megan.meta.parallel import Workers
from megan.realism import fake_quality
from megan.runs import result
from megan.stages import test

SEEDS, SAMPLED, DRAWS = torch.tensor([0, 5]), 3, 2
WAYS, SHOTS, QUERIES = 3, 2, 3


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    monkeypatch.setenv("MEGAN_DEVICE", "cpu")
    monkeypatch.setenv("MEGAN_THREADS", "1")


def drawn(system, split, seeds=SEEDS):
    weights = system.initial_weights(seeds, torch.float32)
    return generation.draw(
        system, weights, TaskSet(sampler(system, split), seeds, "test", SAMPLED, QUERIES), DRAWS, Workers()
    )


def sampler(system, split):
    return Sampler(split, WAYS, SHOTS, "alphabet", system.others)


@pytest.mark.parametrize("options", [{}, {"approach": "multi_task"}, {"fakes_per_real": 2, "conditioning": "label"}])
def test_shapes_and_what_they_are(make_system, split, options):
    system = make_system(**{"steps": 2, "approach": "n_plus_1", **options})
    made = drawn(system, split)
    count = WAYS * SHOTS * system.variant.fakes_per_real
    assert made.fakes.shape == (2, SAMPLED, DRAWS, count, 28, 28) and made.fakes.dtype == torch.uint8
    assert made.support.shape == (2, SAMPLED, WAYS * SHOTS, 28, 28)
    assert made.query.shape == (2, SAMPLED, QUERIES, WAYS, 28, 28)
    assert made.wasserstein.shape == (2, SAMPLED) and made.wasserstein.isfinite().all()
    # The same tasks as in the meta-test: a query image of way w is in column w.
    sampled = sampler(system, split).sample(SEEDS, "test", 0, torch.arange(SAMPLED), QUERIES)
    support = (255 * sampled.support[..., 0]).round().to(torch.uint8).unflatten(0, (2, SAMPLED))
    query = (255 * sampled.query[..., 0]).round().to(torch.uint8).unflatten(0, (2, SAMPLED))
    assert torch.equal(made.support, support)
    for way in range(WAYS):
        assert torch.equal(made.query[:, :, :, way], query[:, :, sampled.query_labels == way])


def test_fakes_are_those_of_the_adapted_generator(make_system, split):
    system = make_system(steps=2, approach="n_plus_1", generator_inner_lr=0.3)
    made, weights = drawn(system, split), system.initial_weights(SEEDS, torch.float32)
    sampled = sampler(system, split).sample(SEEDS[1:], "test", 0, torch.tensor([2]), QUERIES)
    adapted = adapt(system, {name: value[1:] for name, value in weights.items()}, sampled, 2, differentiable=False)
    for draw in range(DRAWS):
        wanted = 255 * system.fakes(adapted, sampled, 2 + draw).detach()[0, ..., 0]
        assert (made.fakes[1, 2, draw] - wanted).abs().max() <= 0.51, "rounded to the nearest level"
    unadapted = 255 * system.fakes({name: value[1:] for name, value in weights.items()}, sampled, 2).detach()[0, ..., 0]
    assert (made.fakes[1, 2, 0] - unadapted).abs().max() > 0.6


def test_draws_differ_and_repeat(make_system, split):
    system = make_system(steps=2, approach="n_plus_1")
    first, again = drawn(system, split), drawn(system, split)
    assert all(
        torch.equal(getattr(first, key), getattr(again, key)) for key in ("fakes", "support", "query", "wasserstein")
    )
    assert not torch.equal(first.fakes[:, :, 0], first.fakes[:, :, 1])
    assert not torch.equal(first.support[0], first.support[1]), "each seed has tasks of its own"


def test_threads_chunks_and_other_seeds_change_nothing(make_system, split, monkeypatch):
    system = make_system(steps=2, approach="n_plus_1")
    together = drawn(system, split)
    monkeypatch.setenv("MEGAN_THREADS", "2")
    alone = drawn(system, split, SEEDS[1:])
    assert torch.equal(together.fakes[1:], alone.fakes) and torch.equal(together.wasserstein[1:], alone.wasserstein)


def test_the_same_tasks_for_every_variant(make_system, split):
    several = [
        drawn(make_system(steps=2, approach="n_plus_1", **options), split)
        for options in ({}, {"fake_source": "noise"}, {"fake_source": "alphabet"})
    ]
    for made in several[1:]:
        assert torch.equal(made.support, several[0].support) and torch.equal(made.query, several[0].query)


def test_a_skip_is_cut_off_at_paper_and_ink(make_system, split):
    """G(x) + x leaves [0, 1]; the image kept is the nearest that can be shown."""
    system = make_system(steps=2, approach="n_plus_1", skip=True)
    made, wanted = drawn(system, split), system.initial_weights(SEEDS, torch.float32)
    sampled = sampler(system, split).sample(SEEDS, "test", 0, torch.arange(SAMPLED), QUERIES)
    beyond = system.fakes({k: v.repeat_interleave(SAMPLED, 0) for k, v in wanted.items()}, sampled, 2)
    assert beyond.min() < 0 or beyond.max() > 1, "the test needs pixels beyond"
    assert made.fakes.min() == 0 and made.fakes.max() == 255


@pytest.mark.parametrize(
    "options",
    [
        {"approach": "multi_task", "condition_discriminator": True},
        {"approach": "multi_task", "gan_loss": "wasserstein_gp"},
        {"batch_statistics": "apart"},
        {"batch_statistics": "reals"},
    ],
)
def test_wasserstein_value(make_system, split, options):
    """The critic's mean on reals minus that on fakes, in batches as in adaptation, averaged over the draws."""
    system = make_system(**{"steps": 2, "approach": "n_plus_1", **options})
    made, weights = drawn(system, split), system.initial_weights(SEEDS, torch.float32)
    sampled = sampler(system, split).sample(SEEDS[:1], "test", 0, torch.tensor([1]), QUERIES)
    adapted = adapt(system, {name: value[:1] for name, value in weights.items()}, sampled, 2, differentiable=False)
    values, labels = [], sampled.support_labels
    for draw in range(DRAWS):
        fake = system.fakes(adapted, sampled, 2 + draw)
        # Two shots of three queries: 0 and 1 for the first draw, 2 and again 0 for the second.
        real = torch.cat(
            [sampled.query[:, way * 3 + number][:, None] for way in range(3) for number in ([0, 1], [2, 0])[draw]],
            dim=1,
        )
        if system.variant.batch_statistics != "apart":
            both = system.criticise(adapted, torch.cat([real, fake], dim=1), torch.cat([labels, labels]), len(labels))
            values.append(both[:, : len(labels)].mean() - both[:, len(labels) :].mean())
        else:
            values.append(
                system.criticise(adapted, real, labels).mean() - system.criticise(adapted, fake, labels).mean()
            )
    assert float(made.wasserstein[0, 1]) == pytest.approx(float(sum(values).detach() / DRAWS), abs=1e-4)


def test_no_finished_seed(make_system, split):
    full = drawn(make_system(steps=2, approach="n_plus_1", fakes_per_real=2), split)
    none = drawn(make_system(steps=2, approach="n_plus_1", fakes_per_real=2), split, SEEDS[:0])
    for key in ("fakes", "support", "query", "wasserstein"):
        assert getattr(none, key).shape == (0, *getattr(full, key).shape[1:])


def settle(variants):
    """A tiny study in the working directory, with untrained weights; `variants`: its diverged seeds by name."""
    document = params.resolved(params.read())
    document["study"] = "quick"
    study = document["studies"]["quick"]
    study["tasks"] |= {"ways": 3, "test_queries": 2}
    study["inner"] |= {"steps": 2, "test_steps": 2}
    study["test"] = {"sample_tasks": SAMPLED, "sample_queries": 2, "draws": DRAWS, "other_queries": []}
    for tier in study["tiers"].values():
        tier |= {"meta_steps": 1, "seeds": [0, 1], "test_tasks": 4}
    document["variants"] = {name: document["variants"][name] for name in variants}
    paths.PARAMS.write_text(yaml.safe_dump(document), encoding="utf-8")
    source = numpy.random.default_rng(0)
    for part in ("train", "test"):
        packed.write(
            paths.split("quick", part),
            {"A": source.integers(0, 256, (7, 20, 28, 28), dtype=numpy.uint8)},
            {"A": list("abcdefg")},
        )
    study = params.load()
    jobs.leave_judge(study)
    for name, lost in variants.items():
        folder = paths.trained("quick", name)
        folder.mkdir(parents=True)
        save_file(
            setup.system(study, name).initial_weights(torch.tensor([0, 1]), torch.float32),
            folder / "weights.safetensors",
        )
        diverged = {str(seed): {"meta_step": 0, "loss": None} for seed in lost}
        told = {"study": "quick", "variant": name, "meta_steps": 1, "seeds": [0, 1], "diverged": diverged}
        jobs.leave_record(study, "train", name, **told, best_meta_step={"0": 1, "1": 1})
    return study


@pytest.mark.parametrize("lost", [[], [0], [0, 1]])
def test_the_stage_keeps_what_finished(tmp_path, monkeypatch, split, lost):
    start = paths.PARAMS.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    paths.PARAMS.write_text(start, encoding="utf-8")
    study = settle({"n_plus_1": lost, "maml": []})
    jobs.run(study, "test", "n_plus_1")
    folder, kept = paths.tested("quick", "n_plus_1"), [seed for seed in (0, 1) if seed not in lost]
    tensors = load_file(folder / "shown.safetensors")
    shown = min(SAMPLED, test.SHOWN)
    assert tensors["seeds"].tolist() == kept and tensors["fakes"].shape == (len(kept), shown, DRAWS, 3, 28, 28)
    fakes, realism = pandas.read_csv(folder / "fakes.csv"), pandas.read_csv(folder / "realism.csv")
    assert list(fakes.columns) == fake_quality.TASKS and list(realism.columns) == fake_quality.REALISM
    assert list(zip(fakes["seed"], fakes["task"], strict=True)) == [
        (seed, task) for seed in kept for task in range(SAMPLED)
    ]
    assert fakes["wasserstein"].notna().all() and len(pandas.read_csv(folder / "tasks.csv")) == 4 * len(kept)
    assert realism["seed"].tolist() == kept and realism["distance"].notna().all()
    assert pandas.read_csv(folder / "real.csv")["seed"].tolist() == kept
    record = result.verified(folder, "test@n_plus_1")
    assert {"shown.safetensors", "realism.csv", "real.csv", "fakes.csv"} <= record["files"].keys()
    assert record["parameters"]["tier.test_tasks"] == 4
    jobs.run(study, "test", "maml")
    assert {file.name for file in paths.tested("quick", "maml").iterdir()} == {
        "tasks.csv",
        "steps.csv",
        "queries.csv",
        "record.json",
    }
