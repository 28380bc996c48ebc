"""Scores after each inner step against the slow reference; replayed ones are the same."""

import importlib.util
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from megan.data.episodes import Sampler, TaskSet
from megan.meta import evaluate
from megan.meta.evaluate import Evaluation, Scores
from megan.meta.parallel import Workers
from megan.meta.replayed import Replayed

_spec = importlib.util.spec_from_file_location("reference", Path(__file__).with_name("reference.py"))
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

SEEDS, TASKS = torch.tensor([0, 5]), 5
STEPS = 3


def scores(system, episodes, every_step=True):
    tasks = SimpleNamespace(seeds=torch.tensor([0]), count=len(episodes.support), sample=lambda *_: episodes)
    weights = system.initial_weights(torch.tensor([0]), torch.float64)
    workers = Workers(device="cpu", threads=1, default_chunk=9)
    return Evaluation(system, tasks, workers, every_step=every_step)(weights), weights


@pytest.mark.parametrize(
    "options",
    [
        {"approach": "n_plus_1"},
        {"approach": "n_plus_1", "batch_statistics": "apart", "gan_loss": "wasserstein"},
        {"approach": "n_plus_1", "outer_fake_weight": 1.0, "outer_fake_batch": "with_query"},
        {"approach": "multi_task", "batch_statistics": "reals", "shared_layers": 1},
        {"approach": "multi_task", "condition_discriminator": True, "fake_steps": 3},
    ],
)
def test_accuracy_and_probability_of_fake_a_step(options, make_system, make_episodes):
    """Of as many real queries as the support holds, and of new fakes, in batches as in adaptation."""
    system, episodes = make_system(steps=STEPS, **options), make_episodes(queries=3)
    found, weights = scores(system, episodes)
    for number in range(2):
        task = reference.Task(system, episodes, number)
        for step in range(STEPS + 1):
            adapted = {name: value[0].clone().requires_grad_() for name, value in weights.items()}
            adapted = task.adapted(adapted, step)
            logits, _ = task.answer(adapted, STEPS)
            right = (logits[:, :3].argmax(dim=1) == task.query_labels).double().mean()
            assert float(found.accuracy[0, number, step]) == pytest.approx(float(right))
            first = [int((task.query_labels == way).nonzero()[0]) for way in range(3)]
            values = task.critic_of_both(adapted, task.query[first], task.labels, task.fakes(adapted, STEPS))
            of_reals, of_fakes = (float((1 / (1 + value.detach().exp())).mean()) for value in values)
            assert float(found.p_fake_of_reals[0, number, step]) == pytest.approx(of_reals, rel=1e-6)
            assert float(found.p_fake_of_fakes[0, number, step]) == pytest.approx(of_fakes, rel=1e-6)
    last, _ = scores(system, episodes, every_step=False)
    assert torch.equal(last.p_fake_of_fakes, found.p_fake_of_fakes[:, :, -1:])


@pytest.mark.parametrize(
    "options",
    [
        {"approach": "maml"},
        {"approach": "n_plus_1", "fake_steps": 0},
        {"approach": "multi_task", "gan_loss": "wasserstein"},
    ],
)
def test_no_probability_without_fakes_or_log_odds(options, make_system, make_episodes):
    found, _ = scores(make_system(steps=STEPS, **options), make_episodes())
    assert found.p_fake_of_fakes.shape == (1, 2, STEPS + 1)
    assert found.p_fake_of_fakes.isnan().all() and found.p_fake_of_reals.isnan().all()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("approach", ["maml", "n_plus_1", "multi_task"])
def test_long_and_short_agree(approach, threads, make_system, split, monkeypatch):
    system = make_system(approach=approach, steps=2)
    tasks = TaskSet(Sampler(split, 3, 1, "alphabet", system.others, torch.float64), SEEDS, "test", TASKS, 2)
    scores = {}
    for tasks_from in (1, 1000):
        monkeypatch.setattr(evaluate, "LONG_EVALUATION", tasks_from)
        evaluation = Evaluation(system, tasks, Workers(device="cpu", threads=threads), every_step=True)
        assert isinstance(evaluation._scores, Replayed) == (tasks_from == 1)
        for seed in (0, 1):  # other weights, the same record
            weights = system.initial_weights(SEEDS + seed, torch.float64)
            scores[tasks_from, seed] = evaluation(weights)
    for seed in (0, 1):
        for field in fields(Scores):
            ours, theirs = (getattr(scores[tasks_from, seed], field.name) for tasks_from in (1, 1000))
            assert ours.shape == (2, TASKS, 3)
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12, equal_nan=True)


def test_only_the_last_step_is_scored_where_no_curve_is_wanted(make_system, split):
    system = make_system(steps=2)
    tasks = TaskSet(Sampler(split, 3, 1, "alphabet", 0, torch.float64), SEEDS, "test", TASKS, 2)
    weights = system.initial_weights(SEEDS, torch.float64)
    all_steps, last = (
        Evaluation(system, tasks, Workers(device="cpu", threads=1), every_step=every)(weights)
        for every in (True, False)
    )
    assert last.loss.shape == (2, TASKS, 1)
    torch.testing.assert_close(last.loss[..., 0], all_steps.loss[..., -1], rtol=1e-12, atol=1e-13)
