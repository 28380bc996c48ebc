"""The output of a generator before any training: grey (0.5 on average), or with the mean ink of the data."""

import torch
from torch import Tensor

from megan.data.episodes import Sampler
from megan.data.packed import Split
from megan.meta.gradient import per_task
from megan.meta.system import System
from megan.meta.with_fakes import WithFakes
from megan.models.initial import Weights

TASKS = 16  # whose first fakes are averaged
HALVINGS = 40
WIDEST = 20.0  # bound on the bias


def set_bias(system: System, weights: Weights, sampler: Sampler, seeds: Tensor) -> None:
    """Set the bias in `weights` to `ink_bias`, in place, for a variant with `first_output: ink` and a generator."""
    if system.variant.first_output == "ink" and isinstance(system, WithFakes) and system.generator:
        weights["gen.bias"].copy_(ink_bias(system, weights, sampler, seeds))


@torch.no_grad()
def ink_bias(system: WithFakes, weights: Weights, sampler: Sampler, seeds: Tensor) -> Tensor:
    """The output bias b [seeds, channels] with mean sigmoid(z + b) = the mean ink of the training images.

    z is the output before the bias, of the first fakes of some training tasks; `weights` [seeds, ...] have no bias
    yet. Each seed has its own. The mean is over all pixels, by channel, from 0 to 1.
    """
    wanted, numbers = mean_ink(sampler.split), torch.arange(TASKS, device=seeds.device)
    found = []
    for index in range(len(seeds)):
        episodes = sampler.sample(seeds[index : index + 1], "first_output", 0, numbers, 1)
        start = per_task({name: value[index : index + 1] for name, value in weights.items()}, TASKS)
        z = system.fakes(start, episodes, 0).double().logit(eps=1e-9).flatten(0, -2)  # [pixels, channels]
        found.append(_solved(z, wanted))
    return torch.stack(found).to(weights["gen.bias"].dtype)


def mean_ink(split: Split) -> Tensor:
    """Mean of all pixels, 0 to 1, by channel: float64 [channels]."""
    return torch.stack([row.double().mean(dim=(0, 1, 2)) for row in split.images]).mean(dim=0) / 255


def _solved(z: Tensor, wanted: Tensor) -> Tensor:
    """b [channels] with mean sigmoid(z + b) = wanted, by bisection."""
    low, high = torch.full_like(wanted, -WIDEST), torch.full_like(wanted, WIDEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = (z + middle).sigmoid().mean(dim=0) < wanted
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
