"""The outer gradient: through the unrolled inner loop to theta and phi (section 1.2, 4.2).

With `inner.first_order` the gradients of inner steps count as constants (Finn et al. 2017, section 5.2). Adapted
weights are then the initial ones plus a constant, so that their gradients are those of the initial weights too.

Work is cut into chunks of tasks. On a CPU a chunk never mixes seeds, and its size does not
depend on other seeds. Chunks are summed in the order of their tasks, not in the order in which they finish.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from megan.data.episodes import Episodes
from megan.meta.adapt import adapt
from megan.meta.system import System
from megan.models.initial import Weights

QUERY_IMAGES = 64  # about as many are classified at a time on a CPU


@dataclass(frozen=True)
class Outer:
    """Gradient of the mean outer loss, each [seeds, ...], and means over tasks, each [seeds]."""

    gradient: Weights
    loss: Tensor
    accuracy: Tensor
    fake_wins: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """All values by name, to send from one process to another."""
        gradient = {f"gradient/{name}": value for name, value in self.gradient.items()}
        return {**gradient, "loss": self.loss, "accuracy": self.accuracy, "fake_wins": self.fake_wins}

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> "Outer":
        gradient = {
            name.removeprefix("gradient/"): value for name, value in tensors.items() if name.startswith("gradient/")
        }
        return cls(gradient, tensors["loss"], tensors["accuracy"], tensors["fake_wins"])


def per_task(weights: Weights, tasks: int) -> Weights:
    """[seeds, ...] -> [seeds * tasks, ...], a seed's tasks one after the other."""
    return {
        name: weight[:, None].expand(-1, tasks, *weight.shape[1:]).flatten(0, 1) for name, weight in weights.items()
    }


def outer_gradient(system: System, meta: Weights, episodes: Episodes, meta_batch: int) -> Outer:
    """One chunk's share of the outer gradient.

    **Arguments** `meta` [seeds, ...] each; `episodes` of seeds * tasks tasks; `meta_batch`:
    the number of tasks that the mean is taken over. The chunk holds some of them.
    **Returns** sums over the chunk's tasks divided by `meta_batch`.
    """
    seeds = len(next(iter(meta.values())))
    leaves = {name: weight.detach().requires_grad_() for name, weight in meta.items()}
    weights = per_task(leaves, len(episodes.support) // seeds)
    first_order = system.inner.first_order
    adapted = adapt(system, weights, episodes, system.inner.steps, differentiable=not first_order)
    parts = [_outer(system, adapted, episodes, tasks, meta_batch) for tasks in _parts(episodes)]
    logits = torch.cat([logits for logits, _ in parts])
    gradient = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    descents = list(zip(*(found for _, found in parts), strict=True))  # the parts of each loss
    parts.clear()
    while descents:
        parts_of_one = descents.pop(0)
        rates = parts_of_one[0].rates
        share = {name: rates[group] for name in leaves if (group := name.partition(".")[0]) in rates}
        slopes = {name: torch.cat([part.slopes[name] for part in parts_of_one]) for name in parts_of_one[0].slopes}
        del parts_of_one
        # Start from a scalar: with the weights as roots autograd keeps the whole graph until its next call.
        root = weights if first_order else adapted
        found = torch.autograd.grad(
            cast(Tensor, sum((root[name] * slope).sum() for name, slope in slopes.items())),
            [leaves[name] for name in share],
            retain_graph=bool(descents),
            allow_unused=True,  # such as a critic that has had no fakes yet: its gradient is zero
            materialize_grads=True,
        )
        for (name, weight), value in zip(share.items(), found, strict=True):
            gradient[name] += weight * value
    accuracy, fake_wins = system.scores(logits, episodes)

    def total(values: Tensor) -> Tensor:
        return values.detach().double().view(seeds, -1).sum(dim=1) / meta_batch

    return Outer(gradient, total(system.query_loss(logits, episodes)), total(accuracy), total(fake_wins))


@dataclass(frozen=True)
class _Slopes:
    """The gradient of a `Descent` at the adapted weights, and its rates."""

    slopes: Weights  # [tasks, ...]; weights that it does not depend on are left out
    rates: dict[str, float]


def _parts(episodes: Episodes) -> list[slice]:
    """The tasks whose outer losses are taken at a time.

    On a CPU only a few: the graph of many query images would be the largest thing in memory,
    and each part's graph is freed before the next. On a GPU all at once is faster.
    """
    tasks, images = episodes.query.shape[:2]
    size = tasks if episodes.query.is_cuda else max(1, QUERY_IMAGES // images)
    return [slice(start, start + size) for start in range(0, tasks, size)]


def _outer(
    system: System, adapted: Weights, episodes: Episodes, tasks: slice, meta_batch: int
) -> tuple[Tensor, list[_Slopes]]:
    """Some tasks' query logits, and their outer losses' gradients at the adapted weights."""
    own = {name: weight[tasks].detach().requires_grad_() for name, weight in adapted.items()}
    episodes = episodes.part(tasks)
    logits, losses = system.outer_losses(own, episodes)
    found = []
    for index, descent in enumerate(losses):
        slopes = torch.autograd.grad(
            descent.loss.sum() / meta_batch, list(own.values()), retain_graph=index < len(losses) - 1, allow_unused=True
        )
        found.append(
            _Slopes({name: slope for name, slope in zip(own, slopes, strict=True) if slope is not None}, descent.rates)
        )
    return logits.detach(), found


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


def joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The sum of parts of a chunk, as `Outer.tensors` gives them."""
    return summed(map(Outer.of, parts)).tensors()


def stacked(seeds: list[Outer]) -> Outer:
    """Seeds that were computed separately, joined along the seed axis."""
    names = seeds[0].gradient
    return Outer(
        {name: torch.cat([seed.gradient[name] for seed in seeds]) for name in names},
        *(torch.cat([getattr(seed, field) for seed in seeds]) for field in ("loss", "accuracy", "fake_wins")),
    )
