"""Meta-testing: adapt to unseen tasks exactly as in training, and score the query images."""

from dataclasses import dataclass

import torch
from torch import Tensor

from megan.data.packed import Split
from megan.meta.adapt import trajectory
from megan.meta.gradient import per_task
from megan.meta.parallel import Chunk, Workers
from megan.meta.processes import Tensors
from megan.meta.system import System
from megan.models.initial import Weights
from megan.params import Tasks

CUDA_RUN = 256  # tasks


@dataclass(frozen=True)
class Scores:
    """On the CPU, float64 [seeds, tasks, counts]: after each number of inner steps that was asked for."""

    accuracy: Tensor
    fake_wins: Tensor
    loss: Tensor


def evaluate(
    system: System, weights: Weights, split: Split, seeds: Tensor, purpose: str, count: int, tasks: Tasks, steps: int, workers: Workers,
    *, every_step: bool,
) -> Scores:
    """Scores on `count` tasks a seed, keyed by (seed, purpose, task): the same for every variant.

    **Arguments** `weights` [seeds, ...] each; `steps` inner steps; `every_step`: score
    before the first of them and after each, else after the last alone.
    """
    dtype = next(iter(weights.values())).dtype

    def chunk_scores(chunk: Chunk) -> Tensors:
        group, numbers = chunk[0], workers.numbers(chunk[1])
        sampled = system.sample(split, seeds[group], purpose, 0, numbers, tasks, tasks.test_queries, dtype)
        start = per_task({name: weight[group] for name, weight in weights.items()}, len(numbers))
        rows = []
        for step, adapted in enumerate(trajectory(system, start, sampled, steps, differentiable=False)):
            if step < steps and not every_step:
                continue
            with torch.no_grad():
                logits = system.classify(adapted, sampled.query)
                rows.append(torch.stack([*system.scores(logits, sampled), system.query_loss(logits, sampled).double()]))
        return {"scores": torch.stack(rows, dim=-1).unflatten(1, (-1, len(numbers)))}  # [3, seeds, tasks, counts]

    groups = workers.seed_groups(len(seeds))
    # On CUDA too, in runs: a meta-test of thousands of tasks need not fit at once.
    scored = workers.map_chunks(chunk_scores, groups, count, None if workers.is_cpu else CUDA_RUN)
    table = torch.cat([torch.cat([chunk["scores"] for chunk in chunks], dim=2) for chunks in scored], dim=1)
    return Scores(*table.cpu())
