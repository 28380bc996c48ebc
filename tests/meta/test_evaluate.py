"""Scores of a long evaluation, which is replayed, are those of a short one, which is not."""

import pytest
import torch

from megan.data.episodes import Sampler, TaskSet
from megan.meta import evaluate
from megan.meta.evaluate import Evaluation
from megan.meta.parallel import Workers
from megan.meta.replayed import Replayed

SEEDS, TASKS = torch.tensor([0, 5]), 5


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
        for name in ("accuracy", "fake_wins", "loss"):
            ours, theirs = (getattr(scores[tasks_from, seed], name) for tasks_from in (1, 1000))
            assert ours.shape == (2, TASKS, 3)
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


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
