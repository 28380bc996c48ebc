"""The Wasserstein game; a penalty on the critic's gradient bounds its slope (Gulrajani et al. 2017)."""

from megan.meta.gan_loss import GanLoss
from megan.meta.gan_losses.wasserstein import critic, generator

LOSS = GanLoss(critic, generator, penalises_gradient=True)
