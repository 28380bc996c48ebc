"""The interface of a GAN loss. Each is a module of `megan/meta/gan_losses`, with the name that `params.yaml` has."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import Tensor


@dataclass(frozen=True)
class GanLoss:
    """The losses of critic and generator (section 3.4), one value for each task.

    Critic values are `[tasks, images]`, losses `[tasks]`. Where a loss is about probabilities, D = sigmoid(critic
    value).
    """

    critic: Callable[[Tensor, Tensor], Tensor]  # of values of reals and of fakes
    generator: Callable[[Tensor], Tensor]  # of values of fakes
    clips_weights: bool = False  # the critic's weights are clipped (Arjovsky et al. 2017)
    penalises_gradient: bool = False  # `gradient_penalty` is added to the critic's loss


def load(name: str) -> GanLoss:
    """The loss of a module of `megan/meta/gan_losses`."""
    return import_module(f"megan.meta.gan_losses.{name}").LOSS


def gradient_penalty(on_between: Tensor, between: Tensor, of_batch: bool = False) -> Tensor:
    """(||grad_x D(x)|| - 1)^2, mean over images (Gulrajani et al. 2017, equation 3).

    **Arguments** `on_between` critic values of the images `between` [tasks, images,
    height, width, 1], which must require gradients; `of_batch`: the norm is that of all
    images' gradients together, as in the authors' code.
    """
    (slope,) = torch.autograd.grad(on_between.sum(), between, create_graph=True)
    # The small term keeps the derivative of the root finite where the slope is zero.
    squares = slope.square().sum(dim=(2, 3, 4))
    squares = squares.sum(dim=1, keepdim=True) if of_batch else squares
    norm = (squares + 1e-12).sqrt()
    return (norm - 1).square().mean(dim=1)
