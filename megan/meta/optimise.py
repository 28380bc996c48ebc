"""Adam (Kingma and Ba 2015) for the outer loop, with a seed axis.

torch.optim would update all seeds or none. Here a seed that is no longer finite is frozen while
the others continue. The step count is on the device, so that a captured graph can advance it.
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
    scalar, 0 at the first call; `alive` bool [seeds]: the other seeds keep weights and moments.
    """
    first, second = moments
    count = (step + 1).double()
    first_scale, second_scale = (1 - beta**count for beta in BETAS)
    live = alive[:, None]
    # A product with zero would keep a NaN; `where` does not.
    g = torch.where(live, _flat({name: gradient[name] for name in weights}), 0)
    theta, m, v = _flat(weights), _flat(first), _flat(second)
    m = torch.where(live, BETAS[0] * m + (1 - BETAS[0]) * g, m)
    v = torch.where(live, BETAS[1] * v + (1 - BETAS[1]) * (g * g), v)
    update = (rate / first_scale) * m / ((v / second_scale).sqrt() + EPSILON)
    _put(torch.where(live, theta - update, theta), weights)
    _put(m, first)
    _put(v, second)


def finite(gradient: Weights, loss: Tensor) -> Tensor:
    """Which seeds have a finite loss and gradient: bool [seeds]."""
    return loss.isfinite() & _flat(gradient).isfinite().all(dim=1)


def _flat(values: Weights) -> Tensor:
    """All weights in one tensor, [seeds, numbers]: on CUDA one kernel for all weights instead of one for each."""
    return torch.cat([value.flatten(1) for value in values.values()], dim=1)


def _put(flat: Tensor, values: Weights) -> None:
    """The reverse of `_flat`, in place."""
    parts = flat.split([value[0].numel() for value in values.values()], dim=1)
    torch._foreach_copy_(
        list(values.values()), [part.view_as(value) for part, value in zip(parts, values.values(), strict=True)]
    )
