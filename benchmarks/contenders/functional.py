"""The classifier as a function of a dictionary of weights in torch's layouts, for one task."""

import torch.nn.functional as F
from torch import Tensor

LAYERS = 4


def normalise(z: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return F.relu(F.batch_norm(z, None, None, gamma, beta, training=True, eps=1e-5))


def classify(weights: dict[str, Tensor], x: Tensor, sizes: dict, network: str = "cls") -> Tensor:
    """[images, channels, height, width] -> [images, outputs]"""
    for layer in range(LAYERS):
        z = F.conv2d(x, weights[f"{network}.conv{layer}"], stride=1 if sizes["max_pool"] else 2, padding=1)
        x = normalise(z, weights[f"{network}.gamma{layer}"], weights[f"{network}.beta{layer}"])
        x = F.max_pool2d(x, 2) if sizes["max_pool"] else x
    return F.linear(features(x, sizes), weights[f"{network}.head"], weights[f"{network}.bias"])


def features(x: Tensor, sizes: dict) -> Tensor:
    """What the head sees of the last map, in megan's order: channels last."""
    return x.permute(0, 2, 3, 1).flatten(1) if sizes["flat"] else x.mean(dim=(2, 3))
