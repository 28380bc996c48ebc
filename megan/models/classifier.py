"""The classifier and the discriminator: MAML's networks, with some layers shared.

Finn et al. 2017, section 5.2: four 3x3 convolutions, each with batch normalisation by the current
batch and ReLU; a linear head. For Omniglot 64 filters with stride 2, and the head on the spatial mean of
the last map; for mini-ImageNet 32 filters with stride 1 and 2x2 max-pooling, and the head on the whole map.

The authors' code (`network.layers: authors`) has three 3x3 convolutions of stride 2 without padding, and one that
covers the remaining map (28-13-6-2-1), with biases; ReLU, leaky in the first two layers, before batch normalisation
(`network.norm: after_relu`) or after it; initial weights as in He et al. 2015.

MAML and N+1 have only the branch `cls`. Multi-task (section 3.2, Fig. 4) has a second branch `dsc` with one
output, and the first layers `shared`.

Information for one branch only (the real/fake value for the classifier, the label for the
discriminator) is added as constant input channels (planes) at the first layer that only this branch
has, or at its head. So the other branch cannot see it through shared layers.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from megan.models import initial
from megan.models.initial import Weights
from megan.models.sizes import LAYERS, Sizes
from megan.ops.convolution import conv
from megan.ops.normalisation import layer_norm_relu, norm_relu, norm_relu_of_first
from megan.ops.pooling import max_pool, norm_relu_pool

LEAK = 0.2  # slope of the authors' leaky ReLU below zero
LEAKY = 2  # number of first layers that have it


@dataclass(frozen=True)
class Branch:
    """A network with one head: its shared layers, its own layers, and the head."""

    name: str  # group of its own layers: `cls` or `dsc`
    outputs: int
    sizes: Sizes
    shared: int = 0  # number of first layers that both branches share
    planes: int = 0  # constant input channels at its first own layer
    layer_norm: bool = False  # instead of batch normalisation, in its own layers
    at_head: bool = False  # the planes' values are further inputs of the head, and of no layer

    @property
    def entry(self) -> int:
        """The layer that has the planes as input; `LAYERS` is the head."""
        return LAYERS if self.at_head else self.shared

    def group(self, layer: int) -> str:
        return "shared" if layer < self.shared else self.name


def initial_weights(seeds: Tensor, branch: Branch, dtype: torch.dtype) -> Weights:
    """Weights of the groups `shared` and `branch.name`, each [seeds, ...].

    The draws of a layer depend on its number and branch, shared or not. Adding outputs to a head, or
    channels to a convolution, does not change the other draws.
    """
    weights: Weights = {}
    sizes, filters = branch.sizes, branch.sizes.filters
    for layer in range(LAYERS):
        group = branch.group(layer)
        channels = (sizes.channels if layer == 0 else filters) + (branch.planes if layer == branch.entry else 0)
        # Shared layers start as the classifier's own would.
        stream = f"{'cls' if group == 'shared' else group}.conv{layer}"
        if sizes.authors:
            known = sizes.channels if layer == 0 else filters  # planes do not count in the deviation
            side = sizes.last_kernel if layer == LAYERS - 1 else 3
            weights[f"{group}.conv{layer}"] = initial.he(seeds, stream, (side, channels, filters), known, dtype)
            weights[f"{group}.bias{layer}"] = torch.zeros(len(seeds), filters, dtype=dtype, device=seeds.device)
        else:
            weights[f"{group}.conv{layer}"] = initial.conv(seeds, stream, channels, filters, dtype)
        weights[f"{group}.gamma{layer}"], weights[f"{group}.beta{layer}"] = initial.norm(seeds, filters, dtype)
    features = sizes.features + (branch.planes if branch.entry == LAYERS else 0)
    # The pixels of a map are many and similar: with the deviation used for the mean, their sum would be too large.
    deviation = sizes.features**-0.5 if sizes.flat else 1 / sizes.features
    deviation = math.sqrt(2 / sizes.features) if sizes.authors else deviation
    # Drawn output by output, so that one more output does not change the others' draws.
    head = initial.normal(seeds, f"{branch.name}.head", (branch.outputs, features), deviation, dtype)
    weights[f"{branch.name}.head"] = head.mT.contiguous()
    weights[f"{branch.name}.bias"] = torch.zeros(len(seeds), branch.outputs, dtype=dtype, device=seeds.device)
    return weights


def _with_planes(x: Tensor, planes: Tensor) -> Tensor:
    """Append planes [tasks, images, n] to [tasks, images, height, width, channels]."""
    wide = planes[:, :, None, None, :].expand(*x.shape[:4], planes.shape[2])
    return torch.cat([x, wide], dim=-1)


def _unpadded(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
    """A layer of the authors' code: stride 2 without padding, or, if the kernel `w` covers the map `x`, one product."""
    if w.shape[1:3] == x.shape[2:4]:
        return torch.baddbmm(bias[:, None], x.flatten(2), w.flatten(1, 3))[:, :, None, None]
    return conv(x, w, stride=2, padding=0) + bias[:, None, None, None]


def _rectified(x: Tensor, layer: int) -> Tensor:
    """The authors' ReLU, leaky in the first layers."""
    return F.leaky_relu(x, LEAK) if layer < LEAKY else x.relu()


def _normalised(weights: Weights, branch: Branch, layer: int, x: Tensor, relu: bool, first: int | None) -> Tensor:
    """Batch normalisation by the statistics of the first `first` images (all, if None); or layer normalisation."""
    group = branch.group(layer)
    gamma, beta = weights[f"{group}.gamma{layer}"], weights[f"{group}.beta{layer}"]
    if branch.layer_norm and group == branch.name:
        return layer_norm_relu(x, gamma, beta, relu)
    if first is not None:
        return norm_relu_of_first(x, gamma, beta, first, relu)
    return norm_relu(x, gamma, beta, relu)


def _pooled(weights: Weights, branch: Branch, layer: int, x: Tensor, first: int | None) -> Tensor:
    """Normalisation and ReLU, then the maximum of 2x2 pixels; one kernel where batch statistics are of all images."""
    group = branch.group(layer)
    if first is None and not (branch.layer_norm and group == branch.name):
        return norm_relu_pool(x, weights[f"{group}.gamma{layer}"], weights[f"{group}.beta{layer}"])
    return max_pool(_normalised(weights, branch, layer, x, relu=True, first=first))


def logits(
    weights: Weights, branch: Branch, images: Tensor, planes: Tensor | None = None, first: int | None = None
) -> Tensor:
    """Outputs of one branch.

    **Arguments** `images` [tasks, images, side, side, channels]; `planes` [tasks, images,
    branch.planes], needed if the branch has any; `first`: the number of first
    images whose statistics batch normalisation uses; all, if None.
    **Returns** [tasks, images, outputs].
    """
    x = images
    for layer in range(LAYERS):
        group = branch.group(layer)
        if planes is not None and layer == branch.entry:
            x = _with_planes(x, planes)
        if branch.sizes.authors:
            z = _unpadded(x, weights[f"{group}.conv{layer}"], weights[f"{group}.bias{layer}"])
            z = _rectified(z, layer) if branch.sizes.relu_first else z
            x = _normalised(weights, branch, layer, z, relu=False, first=first)
            x = x if branch.sizes.relu_first else _rectified(x, layer)
        else:
            z = conv(x, weights[f"{group}.conv{layer}"], stride=1 if branch.sizes.max_pool else 2)
            x = (
                _pooled(weights, branch, layer, z, first)
                if branch.sizes.max_pool
                else _normalised(weights, branch, layer, z, relu=True, first=first)
            )
    features = x.flatten(2) if branch.sizes.flat else x.mean(dim=(2, 3))
    if planes is not None and branch.entry == LAYERS:
        features = torch.cat([features, planes], dim=-1)
    return torch.baddbmm(weights[f"{branch.name}.bias"][:, None], features, weights[f"{branch.name}.head"])
