"""The MAML network for Omniglot (Finn et al. 2017, section 5.2), N or N+1 outputs.

Four 3x3 convolutions of 64 filters with stride 2, each with batch normalisation by the
current batch and ReLU; the spatial mean of the last feature map, 64 features; a linear head.
"""

import torch
from torch import Tensor

from megan.models import initial
from megan.models.initial import Weights
from megan.ops.convolution import conv
from megan.ops.normalisation import norm_relu

FILTERS = 64
LAYERS = 4


def initial_weights(seeds: Tensor, outputs: int, dtype: torch.dtype) -> Weights:
    """Weights of the group `cls`, each [seeds, ...]. The first N outputs are the same for N and N+1."""
    weights: Weights = {}
    for layer in range(LAYERS):
        channels = 1 if layer == 0 else FILTERS
        weights[f"cls.conv{layer}"] = initial.conv(seeds, f"cls.conv{layer}", channels, FILTERS, dtype)
        weights[f"cls.gamma{layer}"], weights[f"cls.beta{layer}"] = initial.norm(seeds, FILTERS, dtype)
    # Drawn output by output, so that one more output leaves the others' draws as they are.
    head = initial.normal(seeds, "cls.head", (outputs, FILTERS), 1 / FILTERS, dtype)
    weights["cls.head"] = head.mT.contiguous()
    weights["cls.bias"] = torch.zeros(len(seeds), outputs, dtype=dtype, device=seeds.device)
    return weights


def features(weights: Weights, images: Tensor) -> Tensor:
    """[tasks, images, height, width, 1] -> [tasks, images, 64]"""
    x = images
    for layer in range(LAYERS):
        z = conv(x, weights[f"cls.conv{layer}"], stride=2)
        x = norm_relu(z, weights[f"cls.gamma{layer}"], weights[f"cls.beta{layer}"])
    return x.mean(dim=(2, 3))


def logits(weights: Weights, images: Tensor) -> Tensor:
    """[tasks, images, height, width, 1] -> [tasks, images, outputs]"""
    return torch.baddbmm(weights["cls.bias"][:, None], features(weights, images), weights["cls.head"])
