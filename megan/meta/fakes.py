"""Fakes: F_i of Algorithm 1, or those of a control that replaces the generator.

The controls are not the paper's. They show whether an effect is due to the generator, or only
to one more output, to other images, or to ordinary augmentation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from megan.config.params import Variant
from megan.data.episodes import Episodes
from megan.models import generator
from megan.models.generator import Generator
from megan.models.initial import Weights
from megan.ops import streams

# The augmentation control: uniform in plus or minus these, about as drawers of a character differ.
ROTATION = 0.15  # radians
STRETCH = 0.12  # of each entry of the linear map
SHIFT = 0.1  # of half the image's side
BEND = 0.08  # of half the image's side, elastic displacement at a 4x4 grid of points


def make(variant: Variant, architecture: Generator | None, weights: Weights, episodes: Episodes, step: int) -> Tensor:
    """Fakes for inner step `step`: [tasks, M * ways * shots, side, side, channels].

    Their order is that of the support images, repeated M times; `labels` gives their classes.
    """
    count = variant.fakes_per_real
    images = episodes.support.repeat(1, count, 1, 1, 1)
    key = streams.bits(episodes.key, step + 1)[:, step]  # one stream for each inner step
    if variant.fake_source == "noise":
        return streams.uniform(key, images[0].numel()).to(images.dtype).view_as(images)
    if variant.fake_source == "alphabet":
        assert episodes.others is not None, "the sampler draws them for a variant that needs them"
        return episodes.others
    if variant.fake_source == "augmentation":
        return augmented(images, key)
    assert architecture is not None, "the other sources make fakes"
    noise = streams.normal(key, images.shape[1] * variant.noise_size)
    noise = noise.to(images.dtype).view(*images.shape[:2], variant.noise_size)
    prototypes = None
    if architecture.prototype_size:
        assert episodes.prototypes is not None, "the split has embeddings for a variant that needs them"
        prototypes = episodes.prototypes[:, labels(variant, episodes)]
    painted = generator.generate(weights, architecture, noise, images, labels(variant, episodes), prototypes)
    return painted.detach() if variant.fake_source == "frozen_generator" else painted


def labels(variant: Variant, episodes: Episodes) -> Tensor:
    """The class that each fake was made from: int64 [M * ways * shots]."""
    return episodes.support_labels.repeat(variant.fakes_per_real)


def augmented(images: Tensor, key: Tensor) -> Tensor:
    """Small affine and elastic transforms of `images` [tasks, images, height, width, channels]."""
    tasks, count, height, width, channels = images.shape
    draws = (2 * streams.uniform(key, count * 39) - 1).to(images.dtype).view(tasks * count, 39)
    angle, stretch, shift, bend = draws.split([1, 4, 2, 32], dim=1)
    angle = ROTATION * angle[:, 0]
    linear = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1) + STRETCH * stretch
    affine = torch.cat([linear.view(-1, 2, 2), (SHIFT * shift)[:, :, None]], dim=2)
    flat = images.reshape(tasks * count, height, width, channels).permute(0, 3, 1, 2)
    flat = flat.reshape(tasks * count, channels, height, width)
    grid = F.affine_grid(affine, list(flat.shape), align_corners=False)
    elastic = F.interpolate(bend.view(-1, 2, 4, 4), size=(height, width), mode="bilinear", align_corners=False)
    grid = grid + BEND * elastic.permute(0, 2, 3, 1)
    moved = F.grid_sample(flat, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved.permute(0, 2, 3, 1).reshape(images.shape)
