"""Meta-testing: adapt to unseen tasks exactly as in training, and score the query images."""

from dataclasses import dataclass

import torch
from torch import Tensor

from megan.data.episodes import Episodes, TaskSet
from megan.meta import bounds
from megan.meta.adapt import trajectory
from megan.meta.gradient import per_task
from megan.meta.parallel import Chunk, Workers
from megan.meta.processes import Tensors
from megan.meta.system import System
from megan.models.initial import Weights


@dataclass(frozen=True)
class Scores:
    """On the CPU, float64 [seeds, tasks, counts]: after each number of inner steps that was asked for."""

    accuracy: Tensor
    fake_wins: Tensor
    loss: Tensor
    p_fake_of_reals: Tensor  # see `System.fake_probabilities`
    p_fake_of_fakes: Tensor


def begin(weights: Weights, tasks: TaskSet, chunk: Chunk, workers: Workers) -> tuple[Weights, Episodes]:
    """The weights that each task of a chunk starts with, from the meta-trained ones [seeds, ...]; and the tasks."""
    group, numbers = chunk[0], workers.numbers(chunk[1])
    return per_task({name: weight[group] for name, weight in weights.items()}, len(numbers)), tasks.sample(
        group, numbers
    )


def evaluate(system: System, weights: Weights, tasks: TaskSet, workers: Workers, *, every_step: bool) -> Scores:
    """Scores on `tasks` after `inner.test_steps` inner steps.

    **Arguments** `weights` [seeds, ...] each; `every_step`: score before the first inner step
    and after each, else after the last only.
    """
    steps = system.inner.test_steps

    def chunk_scores(chunk: Chunk) -> Tensors:
        start, sampled = begin(weights, tasks, chunk, workers)
        rows = []
        for step, adapted in enumerate(trajectory(system, start, sampled, steps, differentiable=False)):
            if step < steps and not every_step:
                continue
            with torch.no_grad():
                logits = system.answer(adapted, sampled, steps)
                scores = [*system.scores(logits, sampled), system.query_loss(logits, sampled).double()]
                rows.append(torch.stack([*scores, *system.fake_probabilities(adapted, sampled, steps)]))
        return {"scores": torch.stack(rows, dim=-1).unflatten(1, (-1, len(chunk[1])))}  # [5, seeds, tasks, counts]

    groups = workers.seed_groups(len(tasks.seeds))
    # In runs on CUDA too: a meta-test of thousands of tasks need not fit at once.
    most = None if workers.is_cpu else bounds.tasks_at_a_time(system, tasks)
    scored = workers.map_chunks(chunk_scores, groups, tasks.count, most)
    table = torch.cat([torch.cat([chunk["scores"] for chunk in chunks], dim=2) for chunks in scored], dim=1)
    return Scores(*table.cpu())
