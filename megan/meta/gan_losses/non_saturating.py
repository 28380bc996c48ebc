"""The minimax game with a generator whose gradient does not vanish (Goodfellow et al. 2014, section 3)."""

import torch.nn.functional as F
from torch import Tensor

from megan.meta.gan_loss import GanLoss
from megan.meta.gan_losses.vanilla import critic


def generator(on_fakes: Tensor) -> Tensor:
    """-log D(G(z))"""
    return F.softplus(-on_fakes).mean(dim=1)


LOSS = GanLoss(critic, generator)
