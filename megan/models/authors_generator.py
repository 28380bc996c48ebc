"""The generator of the authors' code, at the full resolution of the data set; the paper's text does not describe it.

The image goes through a transposed convolution to 64 planes, leaky ReLU and batch normalisation. The code (noise and
other conditions) goes through a linear layer to 64 more. Both together go through a transposed convolution from 128
to 64 planes (ReLU, batch normalisation, ReLU), a convolution (ReLU, batch normalisation) and a last convolution that
gives the image. All have biases, and initial weights as in He et al. 2015.

**Reading**: 3x3 kernels, stride 1, padding 1, and the slope 0.2 of the code's other networks. A transposed convolution
of this kind is a convolution with mirrored weights, so both are `conv`. Without an image all 128 planes are made from
the code.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from megan.models import initial
from megan.models.initial import Weights
from megan.ops.convolution import conv
from megan.ops.normalisation import norm_relu

PLANES = 64
SLOPE = 0.2


def initial_weights(
    seeds: Tensor, channels: int, sees_image: bool, code: tuple[int, int], dtype: torch.dtype
) -> Weights:
    """Weights of the group `gen`, each [seeds, ...].

    **Arguments** `channels` of an image; `code`: the length of the code, and the pixels of an image.
    """
    weights: Weights = {}

    def layer(name: str, inputs: int, outputs: int, fan: int) -> None:
        deviation = math.sqrt(2 / (9 * fan))
        draws = initial.normal(seeds, f"gen.{name}", (3, 3, inputs, outputs), deviation, dtype)
        weights[f"gen.{name}.conv"], weights[f"gen.{name}.bias"] = draws, zeros(outputs)
        weights[f"gen.{name}.gamma"], weights[f"gen.{name}.beta"] = initial.norm(seeds, outputs, dtype)

    def zeros(size: int) -> Tensor:
        return torch.zeros(len(seeds), size, dtype=dtype, device=seeds.device)

    size, pixels = code
    made = PLANES if sees_image else 2 * PLANES
    weights["gen.code"] = initial.normal(seeds, "gen.code", (size, pixels * made), math.sqrt(2 / size), dtype)
    weights["gen.code_bias"] = zeros(pixels * made)
    # In the authors' code the fan-in of a transposed convolution is its number of outputs.
    if sees_image:
        layer("image", channels, PLANES, fan=PLANES)
    layer("join", 2 * PLANES, PLANES, fan=PLANES)
    layer("refine", PLANES, PLANES, fan=PLANES)
    deviation = math.sqrt(2 / (9 * PLANES))
    weights["gen.paint"] = initial.normal(seeds, "gen.paint", (3, 3, PLANES, channels), deviation, dtype)
    weights["gen.bias"] = zeros(channels)
    return weights


def last_map(weights: Weights, code: Tensor, images: Tensor | None) -> Tensor:
    """The input of the last convolution.

    **Arguments** `code` [tasks, fakes, length]; `images` [tasks, fakes, side, side, channels].
    **Returns** [tasks, fakes, side, side, 64].
    """
    pixels, planes = math.isqrt(weights["gen.code"].shape[2] // _planes(images)), _planes(images)
    spread = torch.baddbmm(weights["gen.code_bias"][:, None], code, weights["gen.code"])
    x = spread.view(*code.shape[:2], pixels, pixels, planes)
    if images is not None:
        seen = _normed(weights, "image", F.leaky_relu(_conv(weights, "image", images), SLOPE))
        x = torch.cat([seen, x], dim=-1)
    x = _normed(weights, "join", _conv(weights, "join", x).relu(), relu=True)
    return _normed(weights, "refine", _conv(weights, "refine", x).relu())


def _planes(images: Tensor | None) -> int:
    """The number of planes made from the code."""
    return 2 * PLANES if images is None else PLANES


def _conv(weights: Weights, name: str, x: Tensor) -> Tensor:
    return conv(x, weights[f"gen.{name}.conv"]) + weights[f"gen.{name}.bias"][:, None, None, None, :]


def _normed(weights: Weights, name: str, x: Tensor, relu: bool = False) -> Tensor:
    return norm_relu(x, weights[f"gen.{name}.gamma"], weights[f"gen.{name}.beta"], relu)
