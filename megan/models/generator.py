"""The standard generator, conditioned on a real image (section 3.1, Fig. 9 right).

The image is encoded to a 7x7 map by two strided convolutions; noise becomes a second 7x7
map by a linear layer; both are decoded together by two steps of doubling and convolution.
The paper gives no layers: **Reading**, sized so that a fake costs about as much as three
passes of the classifier.
"""

import torch
from torch import Tensor

from megan.models import initial
from megan.models.initial import Weights
from megan.ops.convolution import conv
from megan.ops.normalisation import norm_relu

NOISE_MAP = 16  # channels of the 7x7 map made from noise
ENCODED = (16, 32)  # filters of the two encoding convolutions
DECODED = (32, 16)  # filters of the two decoding convolutions


def initial_weights(seeds: Tensor, noise_size: int, dtype: torch.dtype) -> Weights:
    """Weights of the group `gen`, each [seeds, ...]."""
    weights: Weights = {}

    def layer(name: str, channels: int, outputs: int) -> None:
        weights[f"gen.{name}.conv"] = initial.conv(seeds, f"gen.{name}", channels, outputs, dtype)
        weights[f"gen.{name}.gamma"], weights[f"gen.{name}.beta"] = initial.norm(seeds, outputs, dtype)

    layer("encode0", 1, ENCODED[0])
    layer("encode1", ENCODED[0], ENCODED[1])
    weights["gen.noise"] = initial.normal(seeds, "gen.noise", (noise_size, 7 * 7 * NOISE_MAP), noise_size**-0.5, dtype)
    layer("decode0", ENCODED[1] + NOISE_MAP, DECODED[0])
    layer("decode1", DECODED[0], DECODED[1])
    weights["gen.paint"] = initial.conv(seeds, "gen.paint", DECODED[1], 1, dtype)
    weights["gen.bias"] = torch.zeros(len(seeds), 1, dtype=dtype, device=seeds.device)
    return weights


def _layer(weights: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    z = conv(x, weights[f"gen.{name}.conv"], stride)
    return norm_relu(z, weights[f"gen.{name}.gamma"], weights[f"gen.{name}.beta"])


def _double(x: Tensor) -> Tensor:
    """Nearest-neighbour upsampling: [tasks, images, h, w, c] -> [tasks, images, 2h, 2w, c]"""
    tasks, images, height, width, channels = x.shape
    x = x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2, -1)
    return x.reshape(tasks, images, 2 * height, 2 * width, channels)


def generate(weights: Weights, images: Tensor, noise: Tensor) -> Tensor:
    """G(x): one fake for each conditioning image.

    **Arguments** `images` [tasks, fakes, 28, 28, 1]; `noise` [tasks, fakes, noise_size].
    **Returns** [tasks, fakes, 28, 28, 1] in (0, 1), ink = 1.
    """
    encoded = _layer(weights, "encode1", _layer(weights, "encode0", images, stride=2), stride=2)
    spread = (noise @ weights["gen.noise"]).view(*noise.shape[:2], 7, 7, NOISE_MAP)
    x = torch.cat([encoded, spread], dim=-1)
    x = _layer(weights, "decode0", _double(x))
    x = _layer(weights, "decode1", _double(x))
    return torch.sigmoid(conv(x, weights["gen.paint"]) + weights["gen.bias"][:, None, None, None, :])
