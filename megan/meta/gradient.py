"""The outer gradient: through the unrolled inner loop to theta and phi (section 1.2, 4.2).

Work is cut into chunks of tasks. A chunk never mixes seeds on a CPU, its size depends on no
other seed, and chunks are summed in the order of their tasks, whatever order they finish in.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from megan.data.episodes import Episodes
from megan.meta.adapt import adapt
from megan.meta.system import System
from megan.models.initial import Weights


@dataclass(frozen=True)
class Outer:
    """Gradient of the mean outer loss, each [seeds, ...], and means over tasks, each [seeds]."""

    gradient: Weights
    loss: Tensor
    accuracy: Tensor
    fake_wins: Tensor


def per_task(weights: Weights, tasks: int) -> Weights:
    """[seeds, ...] -> [seeds * tasks, ...], a seed's tasks one after the other."""
    return {
        name: weight[:, None].expand(-1, tasks, *weight.shape[1:]).flatten(0, 1) for name, weight in weights.items()
    }


def outer_gradient(system: System, meta: Weights, episodes: Episodes, meta_batch: int) -> Outer:
    """One chunk's share of the outer gradient.

    **Arguments** `meta` [seeds, ...] each; `episodes` of seeds * tasks tasks; `meta_batch`
    is the number of tasks that the mean is taken over, of which the chunk holds some.
    **Returns** sums over the chunk's tasks divided by `meta_batch`.
    """
    seeds = len(next(iter(meta.values())))
    leaves = {name: weight.detach().requires_grad_() for name, weight in meta.items()}
    weights = per_task(leaves, len(episodes.support) // seeds)
    adapted = adapt(system, weights, episodes, system.inner.steps, differentiable=True)
    logits = system.classify(adapted, episodes.query)
    losses = system.outer_losses(adapted, logits, episodes)
    gradient = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    for index, descent in enumerate(losses):
        share = {name: descent.rates[group] for name in leaves if (group := name.partition(".")[0]) in descent.rates}
        found = torch.autograd.grad(
            descent.loss.sum() / meta_batch,
            [leaves[name] for name in share],
            retain_graph=index < len(losses) - 1,
            allow_unused=True,  # a critic that no fake has met yet, say: its gradient is zero
            materialize_grads=True,
        )
        for (name, weight), value in zip(share.items(), found, strict=True):
            gradient[name] += weight * value
    accuracy, fake_wins = system.scores(logits.detach(), episodes)

    def total(values: Tensor) -> Tensor:
        return values.detach().double().view(seeds, -1).sum(dim=1) / meta_batch

    return Outer(gradient, total(system.query_loss(logits, episodes)), total(accuracy), total(fake_wins))


def summed(chunks: Iterable[Outer]) -> Outer:
    """The sum of chunks of the same seeds, in the order given."""
    first, *rest = chunks
    gradient = {name: value.clone() for name, value in first.gradient.items()}
    loss, accuracy, fake_wins = first.loss, first.accuracy, first.fake_wins
    for chunk in rest:
        for name, value in chunk.gradient.items():
            gradient[name] += value
        loss, accuracy, fake_wins = loss + chunk.loss, accuracy + chunk.accuracy, fake_wins + chunk.fake_wins
    return Outer(gradient, loss, accuracy, fake_wins)


def stacked(seeds: list[Outer]) -> Outer:
    """Seeds computed apart, side by side along the seed axis."""
    names = seeds[0].gradient
    return Outer(
        {name: torch.cat([seed.gradient[name] for seed in seeds]) for name in names},
        *(torch.cat([getattr(seed, field) for seed in seeds]) for field in ("loss", "accuracy", "fake_wins")),
    )

