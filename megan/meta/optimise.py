"""Adam (Kingma and Ba 2015) for the outer loop, with a seed axis.

torch.optim would step all seeds or none. Here a seed that is no longer finite is frozen while
the others go on. The step count is on the device, so that a captured graph can advance it.
"""

import math

import torch
from torch import Tensor

from megan.models.initial import Weights

BETAS = (0.9, 0.999)
EPSILON = 1e-8


def learning_rate(step: Tensor, meta_steps: int, peak: float, schedule: str) -> Tensor:
    """The outer step size at `step` (from 0): constant, or a half cosine down to zero."""
    if schedule == "constant":
        return torch.full_like(step, peak, dtype=torch.float64)
    return 0.5 * peak * (1 + torch.cos(math.pi * step.double() / meta_steps))


def adam(
    weights: Weights, moments: tuple[Weights, Weights], gradient: Weights, step: Tensor, rate: Tensor, alive: Tensor
) -> None:
    """One step in place.

    **Arguments** all weights [seeds, ...]; `moments` the first and the second; `step` int64
    scalar, 0 at the first call; `alive` bool [seeds]: dead seeds keep weights and moments.
    """
    first, second = moments
    count = (step + 1).double()
    first_scale, second_scale = (1 - beta**count for beta in BETAS)
    for name, weight in weights.items():
        live = alive.view(-1, *[1] * (weight.dim() - 1))
        # A product with zero would keep a NaN; `where` does not.
        g = torch.where(live, gradient[name], 0)
        for moment, value, beta in ((first[name], g, BETAS[0]), (second[name], g * g, BETAS[1])):
            moment.copy_(torch.where(live, beta * moment + (1 - beta) * value, moment))
        size = (second[name] / second_scale).sqrt() + EPSILON
        update = (rate / first_scale) * first[name] / size
        weight.copy_(torch.where(live, weight - update, weight).to(weight.dtype))


def finite(gradient: Weights, loss: Tensor) -> Tensor:
    """Which seeds have a finite loss and gradient: bool [seeds]."""
    healthy = loss.isfinite()
    for value in gradient.values():
        healthy = healthy & value.flatten(1).isfinite().all(dim=1)
    return healthy
