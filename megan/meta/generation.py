"""Fakes of adapted generators, kept for measurements and figures (Fig. 8, Fig. 9)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from megan.data import channels
from megan.data.episodes import Episodes, TaskSet
from megan.meta import bounds
from megan.meta.adapt import adapt
from megan.meta.evaluate import begin, drawn
from megan.meta.parallel import Chunk, Workers
from megan.meta.processes import Tensors
from megan.meta.with_fakes import WithFakes
from megan.models.initial import Weights


@dataclass(frozen=True)
class Samples:
    """Samples on the CPU. Images are uint8, as in files; colour images have a last axis of channels.

    Variants with the same seed have the same tasks and reals.
    """

    fakes: Tensor  # [seeds, tasks, draws, M * ways * shots, height, width], in the order of the support, M times
    support: Tensor  # [seeds, tasks, ways * shots, height, width]
    query: Tensor  # [seeds, tasks, queries, ways, height, width]: other drawings of the same classes
    wasserstein: Tensor  # float64 [seeds, tasks]


def draw(system: WithFakes, weights: Weights, tasks: TaskSet, draws: int, workers: Workers) -> Samples:
    """Adapt to `tasks`, then make the fakes of each task `draws` times.

    **Arguments** `weights` [seeds, ...] each; `tasks`: the first of those that
    `evaluate.Evaluation` scores under the same purpose. Each draw has its own noise.
    """
    if not len(tasks.seeds):
        return _none(system, tasks, draws)
    steps = system.inner.test_steps

    def chunk_samples(chunk: Chunk) -> Tensors:
        meta, sampled = drawn(weights, tasks, chunk, workers)
        adapted = adapt(system, begin(meta, sampled), sampled, steps, differentiable=False)
        with torch.no_grad():
            # Noise is keyed by step, and the inner steps have used 0 to steps - 1.
            made = torch.stack([system.fakes(adapted, sampled, steps + number) for number in range(draws)])
            apart = torch.stack(
                [_wasserstein(system, adapted, sampled, some, number) for number, some in enumerate(made)]
            ).mean(dim=0)
        query = sampled.query.unflatten(1, (sampled.ways, -1)).transpose(1, 2)
        shown = {
            "fakes": _bytes(made.transpose(0, 1)),
            "support": _bytes(sampled.support),
            "query": _bytes(query),
            "wasserstein": apart,
        }
        return {name: value.unflatten(0, (-1, len(chunk[1]))) for name, value in shown.items()}

    most = None if workers.is_cpu else bounds.tasks_at_a_time(system, tasks)
    chunks = workers.map_chunks(chunk_samples, workers.seed_groups(len(tasks.seeds)), tasks.count, most)
    return Samples(
        **{
            name: torch.cat([torch.cat([part[name] for part in group], dim=1) for group in chunks]).cpu()
            for name in chunks[0][0]
        }
    )


def _wasserstein(system: WithFakes, weights: Weights, episodes: Episodes, made: Tensor, number: int) -> Tensor:
    """Mean critic value of real query images less that of the fakes, float64 [tasks]."""
    on_reals, on_fakes = system.held_out_values(weights, episodes, made, number)
    return on_reals.double().mean(dim=1) - on_fakes.double().mean(dim=1)


def _bytes(images: Tensor) -> Tensor:
    """Images of 0 to 1, [..., side, side, channels] -> uint8, as in a file; other values are clamped."""
    return (channels.without_axis(images).nan_to_num(0).clamp(0, 1) * 255).round().to(torch.uint8)


def _none(system: WithFakes, tasks: TaskSet, draws: int) -> Samples:
    sampler = tasks.sampler
    size, support = channels.without_axis(sampler.split.images).shape[2:], sampler.ways * sampler.shots

    def empty(*shape: int) -> Tensor:
        return torch.empty(0, tasks.count, *shape, *size, dtype=torch.uint8)

    made = empty(draws, system.variant.fakes_per_real * support)
    return Samples(
        made, empty(support), empty(tasks.queries, sampler.ways), torch.empty(0, tasks.count, dtype=torch.float64)
    )
