"""A plain GAN on K images, for every class and seed at once (section 5.1.1, Fig. 7).

**Reading** of "K training examples": K images in all, of one class (`images_of: class`). So there is one GAN for
each class, K and seed. In the paper's picture the classes are mixed: with `images_of: all` the K are drawn from all
classes, and "class" below is the single one of `images.mixed`. For one class and seed, a larger K only adds
images. Initial weights and noise are the same for every K. An update is one step of the discriminator and one
of the generator, on a batch drawn from the K images with replacement.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from megan.config.schema import Gan
from megan.data.dataset import HELD
from megan.gan import networks
from megan.ops import streams

LOG_EVERY = 10  # updates
BETAS = (0.5, 0.999)  # of Adam, as in Radford et al. 2016


@dataclass(frozen=True)
class Trained:
    """The result of training, for every seed and class.

    `samples` [seeds, classes, HELD, 28, 28] in 0..1: NaN for a diverged GAN.
    `updates` int64 [seeds, classes]: number of updates before a loss was not finite.
    `losses` [updates / LOG_EVERY, 2, seeds, classes]: discriminator, generator.
    """

    samples: Tensor
    updates: Tensor
    losses: Tensor


def choose(options: Gan, population: int, device: str) -> Tensor:
    """Indices of the training images, int64 [seeds, classes, largest K]. A smaller K uses the first of these."""
    return streams.choose(_keys("gan/images", 0, options, device), population, max(options.images)).cpu()


def _keys(purpose: str, step: int, options: Gan, device: str) -> Tensor:
    """int64 [seeds, classes]"""
    seeds, classes = torch.tensor(options.seeds, device=device), torch.arange(options.groups, device=device)
    return streams.key(seeds, purpose, step, classes)


def picked(images: Tensor, chosen: Tensor) -> Tensor:
    """`images` [classes, n, 28, 28], `chosen` [seeds, classes, K] -> uint8 [seeds, classes, K, 28, 28]"""
    return images[torch.arange(len(images))[None, :, None], chosen]


def train(images: Tensor, options: Gan, moved: Callable[[], None]) -> Trained:
    """Train one GAN for each seed and class, all at once; non-saturating loss, Adam.

    **Arguments** `images` uint8 [seeds, classes, K, 28, 28]; `moved` is called after each update.
    """
    device, grid, count = str(images.device), images.shape[:2], images.shape[2]
    reals = images.flatten(0, 1)[..., None].float() / 127.5 - 1
    gans = torch.arange(len(reals), device=device)[:, None]
    keys = _keys("gan/weights", 0, options, device).flatten()
    makes, sees = networks.generator_weights(keys, options.noise_size), networks.discriminator_weights(keys)
    step_makes, step_sees = _stepper(makes, options), _stepper(sees, options)
    finite, logged = torch.zeros(len(reals), dtype=torch.int64, device=device), []
    for update in range(options.updates):
        draws = streams.uniform(_keys("gan/batch", update, options, device).flatten(), options.batch_size)
        real = reals[gans, (draws * count).long()]
        fake = networks.generate(makes, _noise("gan/noise", update, options.batch_size, options, device))
        told = networks.discriminate(sees, real), networks.discriminate(sees, fake.detach())
        loss_sees = F.softplus(-told[0]).mean(dim=1) + F.softplus(told[1]).mean(dim=1)
        step_sees(loss_sees)
        loss_makes = F.softplus(-networks.discriminate(sees, fake)).mean(dim=1)
        step_makes(loss_makes)
        losses = torch.stack([loss_sees, loss_makes]).detach()
        finite += (finite == update) & losses.isfinite().all(dim=0)
        if (update + 1) % LOG_EVERY == 0:
            logged.append(losses.unflatten(1, grid))
        moved()
    with torch.no_grad():
        samples = (networks.generate(makes, _noise("gan/samples", 0, HELD, options, device))[..., 0] + 1) / 2
    # The last update may have diverged, which no loss shows.
    sound = samples.flatten(1).isfinite().all(dim=1)
    finite = torch.where(sound, finite, finite.clamp(max=options.updates - 1))
    samples[finite < options.updates] = torch.nan
    losses = torch.stack(logged) if logged else torch.empty(0, 2, *grid)
    return Trained(samples.unflatten(0, grid).cpu(), finite.unflatten(0, grid).cpu(), losses.cpu())


def _noise(purpose: str, step: int, count: int, options: Gan, device: str) -> Tensor:
    """[gans, count, noise_size]"""
    draws = streams.normal(_keys(purpose, step, options, device).flatten(), count * options.noise_size)
    return draws.float().unflatten(1, (count, options.noise_size))


def _stepper(weights: dict[str, Tensor], options: Gan) -> Callable[[Tensor], None]:
    """A function that makes one step of Adam on losses [gans]. Adam is elementwise, so no GAN affects another."""
    leaves = [value.requires_grad_() for value in weights.values()]
    optimiser = torch.optim.Adam(leaves, lr=options.learning_rate, betas=BETAS, fused=True)

    def step(losses: Tensor) -> None:
        for leaf, gradient in zip(leaves, torch.autograd.grad(losses.sum(), leaves), strict=True):
            leaf.grad = gradient
        optimiser.step()

    return step
