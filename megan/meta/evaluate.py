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
from megan.meta.replayed import LONG_EVALUATION, ChunkWork, replayed
from megan.meta.system import System
from megan.models.initial import Weights


@dataclass(frozen=True)
class Scores:
    """Scores of each task, on the CPU: float64 [seeds, tasks, counts], for each requested number of inner steps."""

    accuracy: Tensor
    fake_wins: Tensor
    loss: Tensor
    p_fake_of_reals: Tensor  # see `System.fake_probabilities`
    p_fake_of_fakes: Tensor


def drawn(weights: Weights, tasks: TaskSet, chunk: Chunk, workers: Workers) -> tuple[Weights, Episodes]:
    """The meta-trained weights [seeds, ...] of a chunk's seeds, and its tasks."""
    group, numbers = chunk[0], workers.numbers(chunk[1])
    return {name: weight[group] for name, weight in weights.items()}, tasks.sample(group, numbers)


def begin(weights: Weights, episodes: Episodes) -> Weights:
    """The weights that each task starts with, from the meta-trained ones [seeds, ...]."""
    return per_task(weights, len(episodes.support) // len(next(iter(weights.values()))))


class Evaluation:
    """Scores on `tasks` after `inner.test_steps` inner steps, for one set of meta-trained weights after another.

    **Arguments** `every_step`: score before the first inner step and after each, else only after the last; `times`:
    the number of sets of weights that will be scored in the whole run.
    """

    def __init__(self, system: System, tasks: TaskSet, workers: Workers, *, every_step: bool, times: int = 1) -> None:
        self.system, self.tasks, self.workers, self.every_step = system, tasks, workers, every_step
        is_long = times * tasks.count * len(tasks.seeds) >= LONG_EVALUATION
        self._scores = replayed(self._chunk_scores, _joined, workers, is_long)

    def __call__(self, weights: Weights) -> Scores:
        """The scores of `weights` [seeds, ...] each."""
        system, tasks, workers = self.system, self.tasks, self.workers

        def inputs(chunk: Chunk) -> tuple[Weights, Episodes]:
            return drawn(weights, tasks, chunk, workers)

        groups = workers.seed_groups(len(tasks.seeds))
        # In parts on CUDA too: the thousands of tasks of a meta-test may need too much memory at once.
        most = None if workers.is_cpu else bounds.tasks_at_a_time(system, tasks)
        scored = workers.map_chunks(ChunkWork(inputs, self._scores), groups, tasks.count, most)
        # [5, seeds * tasks of a chunk, counts] -> [5, seeds, tasks, counts]
        parts = [
            torch.cat([chunk["scores"].unflatten(1, (group.stop - group.start, -1)) for chunk in chunks], dim=2)
            for group, chunks in zip(groups, scored, strict=True)
        ]
        return Scores(*torch.cat(parts, dim=1).cpu())

    def _chunk_scores(self, weights: Weights, episodes: Episodes) -> Tensors:
        """[5, seeds * tasks, counts]: the fields of `Scores`; `weights` [seeds, ...] each."""
        system, steps, rows = self.system, self.system.inner.test_steps, []
        start = begin(weights, episodes)
        for step, adapted in enumerate(trajectory(system, start, episodes, steps, differentiable=False)):
            if step < steps and not self.every_step:
                continue
            with torch.no_grad():
                logits = system.answer(adapted, episodes, steps)
                scores = [*system.scores(logits, episodes), system.query_loss(logits, episodes).double()]
                rows.append(torch.stack([*scores, *system.fake_probabilities(adapted, episodes, steps)]))
        return {"scores": torch.stack(rows, dim=-1)}


def _joined(parts: list[Tensors]) -> Tensors:
    """The scores of several parts of a seed's tasks, in their order."""
    return {"scores": torch.cat([part["scores"] for part in parts], dim=1)}
