"""The minimax game (Goodfellow et al. 2014, equation 1)."""

import torch.nn.functional as F
from torch import Tensor

from megan.meta.gan_loss import GanLoss


def critic(on_reals: Tensor, on_fakes: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z)))"""
    return F.softplus(-on_reals).mean(dim=1) + F.softplus(on_fakes).mean(dim=1)


def generator(on_fakes: Tensor) -> Tensor:
    """log(1 - D(G(z)))"""
    return -F.softplus(on_fakes).mean(dim=1)


LOSS = GanLoss(critic, generator)
