"""The classifier as a function of a dictionary of weights in torch's layouts, for one task."""

import torch.nn.functional as F
from torch import Tensor

LAYERS = 4


def normalise(z: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return F.relu(F.batch_norm(z, None, None, gamma, beta, training=True, eps=1e-5))


def classify(weights: dict[str, Tensor], x: Tensor, network: str = "cls") -> Tensor:
    """[images, channels, height, width] -> [images, outputs]"""
    for layer in range(LAYERS):
        z = F.conv2d(x, weights[f"{network}.conv{layer}"], stride=2, padding=1)
        x = normalise(z, weights[f"{network}.gamma{layer}"], weights[f"{network}.beta{layer}"])
    return F.linear(x.mean(dim=(2, 3)), weights[f"{network}.head"], weights[f"{network}.bias"])
