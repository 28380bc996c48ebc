"""The networks of the plain GANs of Fig. 7, many GANs at once, and of the classifier that measures their samples.

The paper names no layers, only "an out-of-the-box GAN" (section 5.1.1). **Reading**: a DCGAN
(Radford et al. 2016) reduced to 28 pixels. The generator projects noise to a 7x7 map and doubles
its size twice, with batch normalisation. The discriminator halves the size twice with leaky ReLU.
It has no normalisation, because a batch that repeats one image has no variance. Doubling uses
sub-pixel convolution (Shi et al. 2016), which replaces a transposed 4x4 convolution and is
cheaper here. Every weight has a leading axis of GANs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from megan.models import initial
from megan.models.initial import Weights
from megan.ops.convolution import conv
from megan.ops.normalisation import norm_relu

MADE = (32, 16)  # channels of the generator at 7 and 14 pixels
SEEN = (16, 32)  # of the discriminator at 14 and 7
SLOPE = 0.2
FEATURES = 128  # of the classifier


def generator_weights(keys: Tensor, noise_size: int) -> Weights:
    """Each [gans, ...]; `keys` int64 [gans] seed them."""
    dtype = torch.float32
    weights: Weights = {
        "code": initial.normal(keys, "plain.code", (noise_size, 49 * MADE[0]), noise_size**-0.5, dtype),
        "double": initial.conv(keys, "plain.double", MADE[0], 4 * MADE[1], dtype),
        "paint": initial.conv(keys, "plain.paint", MADE[1], 4, dtype),
        "bias": torch.zeros(len(keys), 1, dtype=dtype, device=keys.device),
    }
    for level, channels in enumerate(MADE):
        weights[f"gamma{level}"], weights[f"beta{level}"] = initial.norm(keys, channels, dtype)
    return weights


def discriminator_weights(keys: Tensor) -> Weights:
    """Each [gans, ...]."""
    dtype = torch.float32
    weights: Weights = {
        "halve0": initial.conv(keys, "plain.halve0", 4, SEEN[0], dtype),
        "halve1": initial.conv(keys, "plain.halve1", SEEN[0], SEEN[1], dtype),
        "head": initial.normal(keys, "plain.head", (49 * SEEN[1], 1), (49 * SEEN[1]) ** -0.5, dtype),
    }
    for level, channels in enumerate((*SEEN, 1)):
        weights[f"bias{level}"] = torch.zeros(len(keys), channels, dtype=dtype, device=keys.device)
    return weights


def generate(weights: Weights, noise: Tensor) -> Tensor:
    """[gans, images, noise_size] -> [gans, images, 28, 28, 1] in (-1, 1), ink = 1.

    Batch normalisation uses the statistics of these images, also when sampling.
    """
    x = (noise @ weights["code"]).view(*noise.shape[:2], 7, 7, MADE[0])
    x = norm_relu(x, weights["gamma0"], weights["beta0"])
    x = norm_relu(_double(conv(x, weights["double"])), weights["gamma1"], weights["beta1"])
    return torch.tanh(_double(conv(x, weights["paint"])) + _wide(weights["bias"]))


def discriminate(weights: Weights, images: Tensor) -> Tensor:
    """Logits of "real": [gans, images, 28, 28, 1] -> [gans, images]."""
    x = _leaky(conv(_halve(images), weights["halve0"]) + _wide(weights["bias0"]))
    x = _leaky(conv(x, weights["halve1"], 2) + _wide(weights["bias1"]))
    return (x.flatten(2) @ weights["head"]).squeeze(2) + weights["bias2"]


def classifier(classes: int) -> nn.Sequential:
    """A classifier of images [images, 1, 28, 28] in (0, 1). The input of its last layer gives the features.

    It has two strided convolutions. A ResNet-18 would cost more than all the GANs.
    """
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(49 * 64, FEATURES), nn.ReLU(), nn.Linear(FEATURES, classes),
    )  # fmt: skip


@torch.no_grad()
def features(network: nn.Sequential, images: Tensor) -> Tensor:
    """[images, 1, 28, 28] -> [images, FEATURES]"""
    return network[:-1](images)


def _double(x: Tensor) -> Tensor:
    """Channels to pixels: [gans, images, h, w, 4c] -> [gans, images, 2h, 2w, c]"""
    gans, images, height, width, channels = x.shape
    x = x.view(gans, images, height, width, 2, 2, channels // 4).transpose(3, 4)
    return x.reshape(gans, images, 2 * height, 2 * width, channels // 4)


def _halve(x: Tensor) -> Tensor:
    """Pixels to channels, the inverse of `_double`."""
    gans, images, height, width, channels = x.shape
    x = x.view(gans, images, height // 2, 2, width // 2, 2, channels).transpose(3, 4)
    return x.reshape(gans, images, height // 2, width // 2, 4 * channels)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def _wide(channelwise: Tensor) -> Tensor:
    return channelwise[:, None, None, None, :]
