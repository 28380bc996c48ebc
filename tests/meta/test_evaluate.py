"""Scores after each inner step against the slow reference."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from megan.meta.evaluate import evaluate
from megan.meta.parallel import Workers

_spec = importlib.util.spec_from_file_location("reference", Path(__file__).with_name("reference.py"))
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

STEPS = 3


def scores(system, episodes, every_step=True):
    tasks = SimpleNamespace(seeds=torch.tensor([0]), count=len(episodes.support), sample=lambda *_: episodes)
    weights = system.initial_weights(torch.tensor([0]), torch.float64)
    return evaluate(
        system, weights, tasks, Workers(device="cpu", threads=1, default_chunk=9), every_step=every_step
    ), weights


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
