"""The GAN losses of section 3.4: what the critic and the generator descend on, one value for each task.

Critic values are [tasks, images], losses [tasks]. Where a loss is about probabilities, D =
sigmoid(critic value).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class GanLoss:
    """One game of critic and generator."""

    critic: Callable[[Tensor, Tensor], Tensor]  # of values of reals and of fakes
    generator: Callable[[Tensor], Tensor]  # of values of fakes
    clips_weights: bool = False  # the critic's weights are clipped (Arjovsky et al. 2017)
    penalises_gradient: bool = False  # `gradient_penalty` joins the critic's loss


def minimax_critic(on_reals: Tensor, on_fakes: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) (Goodfellow et al. 2014, equation 1)"""
    return F.softplus(-on_reals).mean(dim=1) + F.softplus(on_fakes).mean(dim=1)


def minimax_generator(on_fakes: Tensor) -> Tensor:
    """log(1 - D(G(z))) (Goodfellow et al. 2014, equation 1)"""
    return -F.softplus(on_fakes).mean(dim=1)


def non_saturating_generator(on_fakes: Tensor) -> Tensor:
    """-log D(G(z)) (Goodfellow et al. 2014, section 3)"""
    return F.softplus(-on_fakes).mean(dim=1)


def wasserstein_critic(on_reals: Tensor, on_fakes: Tensor) -> Tensor:
    """D(G(z)) - D(x): the critic maximises D(x) - D(G(z)) (Arjovsky et al. 2017)"""
    return on_fakes.mean(dim=1) - on_reals.mean(dim=1)


def wasserstein_generator(on_fakes: Tensor) -> Tensor:
    """-D(G(z)): the sign that the paper prints is turned, so that the generator descends"""
    return -on_fakes.mean(dim=1)


def gradient_penalty(on_between: Tensor, between: Tensor) -> Tensor:
    """(||grad_x D(x)|| - 1)^2, mean over images (Gulrajani et al. 2017, equation 3).

    **Arguments** `on_between` critic values of the images `between` [tasks, images,
    height, width, 1], which must require gradients.
    """
    (slope,) = torch.autograd.grad(on_between.sum(), between, create_graph=True)
    # The tiny term keeps the derivative of the root finite where the slope is zero.
    norm = (slope.square().sum(dim=(2, 3, 4)) + 1e-12).sqrt()
    return (norm - 1).square().mean(dim=1)


GAN_LOSSES = {
    "vanilla": GanLoss(minimax_critic, minimax_generator),
    "non_saturating": GanLoss(minimax_critic, non_saturating_generator),
    "wasserstein": GanLoss(wasserstein_critic, wasserstein_generator, clips_weights=True),
    "wasserstein_gp": GanLoss(wasserstein_critic, wasserstein_generator, penalises_gradient=True),
}
