"""The inner loop of meta-training and meta-testing.

    theta' <- theta' - alpha * grad L(theta'),   S times                (section 1.2, Algorithm 1)

All tasks are adapted at once. They are the leading axis of the weights.
"""

from collections.abc import Iterator

import torch

from megan.data.episodes import Episodes
from megan.meta.system import Descent, System
from megan.models.initial import Weights


def trajectory(
    system: System, weights: Weights, episodes: Episodes, steps: int, differentiable: bool
) -> Iterator[Weights]:
    """The weights before the first inner step and after each.

    **Arguments** `weights` [tasks, ...] each; `differentiable` keeps the graph through all
    steps, for the outer gradient. Without it every step starts from detached weights.
    **Yields** steps + 1 dictionaries of weights, each [tasks, ...].
    """
    weights = system.project(weights)
    yield weights
    for step in range(steps):
        if not differentiable:
            weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        with torch.enable_grad():
            losses = system.inner_losses(weights, episodes, step)
            weights = system.project(descend(weights, losses, differentiable))
        yield weights


def descend(weights: Weights, losses: list[Descent], differentiable: bool) -> Weights:
    """One step: each group of weights descends along the sum of its own losses' gradients.

    All gradients are taken at the same point before any group changes. A loss passes no
    gradient to a group that does not descend on it.
    """
    moved = dict(weights)
    for index, descent in enumerate(losses):
        rates = {name: descent.rates[group] for name in weights if (group := name.partition(".")[0]) in descent.rates}
        gradients = torch.autograd.grad(
            descent.loss.sum(),  # each task's loss depends on its own weights alone
            [weights[name] for name in rates],
            create_graph=differentiable,
            retain_graph=differentiable or index < len(losses) - 1,
        )
        for (name, rate), gradient in zip(rates.items(), gradients, strict=True):
            moved[name] = torch.add(moved[name], gradient, alpha=-rate)
    return moved


def adapt(system: System, weights: Weights, episodes: Episodes, steps: int, differentiable: bool) -> Weights:
    """The weights after the last inner step."""
    *_, last = trajectory(system, weights, episodes, steps, differentiable)
    return last
