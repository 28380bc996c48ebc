"""The Wasserstein game; clipped weights bound the critic's slope (Arjovsky et al. 2017)."""

from torch import Tensor

from megan.meta.gan_loss import GanLoss


def critic(on_reals: Tensor, on_fakes: Tensor) -> Tensor:
    """D(G(z)) - D(x): the critic maximises D(x) - D(G(z))"""
    return on_fakes.mean(dim=1) - on_reals.mean(dim=1)


def generator(on_fakes: Tensor) -> Tensor:
    """-D(G(z)): the paper prints the opposite sign; the generator descends on this one"""
    return -on_fakes.mean(dim=1)


LOSS = GanLoss(critic, generator, clips_weights=True)
