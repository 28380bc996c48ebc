"""The generators (section 3.1, Fig. 9), conditioned on an image, a label, a prototype or nothing.

`standard`: two strided convolutions encode a conditioning image to a map of a quarter of its side. A
linear layer turns the noise and any other condition into a second such map. Three convolutions at a
quarter, half and all of the side decode both: for Omniglot at 7, 14 and 28 pixels. `fcn`:
convolutions at full resolution over the image and a map made from the noise. The paper gives no layers:
**Reading**, sized so that making a fake costs about as much as classifying it. `authors`: the generator of
the authors' code, see `authors_generator`; a fake costs about thirty times as much.

With `skip` the output is G(x) + x, a residual on the conditioning image x.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from megan.models import authors_generator, initial
from megan.models.initial import Weights
from megan.models.sizes import Sizes
from megan.ops.convolution import conv
from megan.ops.normalisation import norm_relu

ENCODED = (16, 32)  # filters of the two encoding convolutions
DECODED = (32, 16, 8)  # filters of the decoding convolutions at a quarter, half and all of the side
FULL = (16, 16)  # filters of the full-resolution convolutions
PROTOTYPE_CODE = 32  # length of a prototype's projection, which is appended to the noise


def widest(architecture: str) -> int:
    """The most channels that a convolution at full resolution reads."""
    return 2 * authors_generator.PLANES if architecture == "authors" else max(DECODED[1], *FULL)


@dataclass(frozen=True)
class Generator:
    """The architecture and the inputs of a generator."""

    architecture: str  # standard | fcn | authors
    skip: bool
    sees_image: bool
    noise_size: int
    sizes: Sizes
    label_size: int = 0  # ways under label conditioning, else 0
    prototype_size: int = 0  # length of a class prototype, else 0

    @property
    def code_size(self) -> int:
        return self.noise_size + self.label_size + (PROTOTYPE_CODE if self.prototype_size else 0)

    @property
    def side(self) -> int:
        """Height and width of the map made from the code (noise and conditions)."""
        return self.sizes.side // 4 if self.architecture == "standard" else self.sizes.side

    @property
    def code_channels(self) -> int:
        if self.architecture == "fcn":
            return 1 if self.sees_image else 2
        # Without an image the code's map also gets the channels of the image's map.
        return 16 if self.sees_image else 16 + ENCODED[1]


def initial_weights(seeds: Tensor, generator: Generator, dtype: torch.dtype) -> Weights:
    """Weights of the group `gen`, each [seeds, ...]."""
    weights: Weights = {}
    channels = generator.sizes.channels
    code = (generator.code_size, generator.sizes.side**2)

    def layer(name: str, inputs: int, outputs: int) -> None:
        weights[f"gen.{name}.conv"] = initial.conv(seeds, f"gen.{name}", inputs, outputs, dtype)
        weights[f"gen.{name}.gamma"], weights[f"gen.{name}.beta"] = initial.norm(seeds, outputs, dtype)

    def linear(name: str, inputs: int, outputs: int) -> None:
        weights[f"gen.{name}"] = initial.normal(seeds, f"gen.{name}", (inputs, outputs), inputs**-0.5, dtype)

    if generator.prototype_size:
        linear("prototype", generator.prototype_size, PROTOTYPE_CODE)
    if generator.architecture == "authors":
        return weights | authors_generator.initial_weights(seeds, channels, generator.sees_image, code, dtype)
    linear("code", generator.code_size, generator.side**2 * generator.code_channels)
    if generator.architecture == "standard":
        if generator.sees_image:
            layer("encode0", channels, ENCODED[0])
            layer("encode1", ENCODED[0], ENCODED[1])
        layer("decode0", generator.code_channels + (ENCODED[1] if generator.sees_image else 0), DECODED[0])
        layer("decode1", DECODED[0], DECODED[1])
        layer("decode2", DECODED[1], DECODED[2])
        last = DECODED[2]
    else:
        layer("full0", generator.code_channels + (channels if generator.sees_image else 0), FULL[0])
        layer("full1", FULL[0], FULL[1])
        last = FULL[1]
    weights["gen.paint"] = initial.conv(seeds, "gen.paint", last, channels, dtype)
    weights["gen.bias"] = torch.zeros(len(seeds), channels, dtype=dtype, device=seeds.device)
    return weights


def _layer(weights: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    z = conv(x, weights[f"gen.{name}.conv"], stride)
    return norm_relu(z, weights[f"gen.{name}.gamma"], weights[f"gen.{name}.beta"])


def _double(x: Tensor) -> Tensor:
    """Nearest-neighbour upsampling: [tasks, images, h, w, c] -> [tasks, images, 2h, 2w, c]"""
    # torch's kernel for a channels-last view is several times faster than an expanded copy.
    doubled = F.interpolate(x.flatten(0, 1).permute(0, 3, 1, 2), scale_factor=2, mode="nearest")
    return doubled.permute(0, 2, 3, 1).unflatten(0, x.shape[:2]).contiguous()


def _last_map(weights: Weights, generator: Generator, code: Tensor, images: Tensor) -> Tensor:
    """The input of the last convolution of `standard` and `fcn`: [tasks, fakes, side, side, filters]."""
    spread = code @ weights["gen.code"]
    x = spread.view(*code.shape[:2], generator.side, generator.side, generator.code_channels)
    if generator.architecture == "standard":
        if generator.sees_image:
            x = torch.cat([_layer(weights, "encode1", _layer(weights, "encode0", images, 2), 2), x], dim=-1)
        x = _layer(weights, "decode1", _double(_layer(weights, "decode0", x)))
        return _layer(weights, "decode2", _double(x))
    x = torch.cat([images, x], dim=-1) if generator.sees_image else x
    return _layer(weights, "full1", _layer(weights, "full0", x))


def generate(
    weights: Weights,
    generator: Generator,
    noise: Tensor,
    images: Tensor,
    labels: Tensor,
    prototypes: Tensor | None = None,
) -> Tensor:
    """One fake G(x) for each conditioning image x.

    **Arguments** `noise` [tasks, fakes, noise_size]; `images` [tasks, fakes, side, side, channels];
    `labels` int64 [fakes]; `prototypes` [tasks, fakes, prototype_size]. Inputs that the
    generator does not use are ignored.
    **Returns** the shape of `images`: in (0, 1), or around `images` with skip.
    """
    code = [noise]
    if generator.label_size:
        one_hot = F.one_hot(labels, generator.label_size).to(noise.dtype)
        code.append(one_hot.expand(len(noise), -1, -1))
    if prototypes is not None and generator.prototype_size:
        code.append(prototypes @ weights["gen.prototype"])
    together = torch.cat(code, dim=-1)
    if generator.architecture == "authors":
        x = authors_generator.last_map(weights, together, images if generator.sees_image else None)
    else:
        x = _last_map(weights, generator, together, images)
    painted = conv(x, weights["gen.paint"]) + weights["gen.bias"][:, None, None, None, :]
    return images + torch.tanh(painted) if generator.skip else torch.sigmoid(painted)
