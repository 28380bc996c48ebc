"""The ResNet-18 that makes class prototypes for generators, or measures fakes as the judge (sections 1.4, 3.1).

It is the network of torchvision, with a stem for small images, or as it was trained on ImageNet (`imagenet`).
"""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from megan.config import paths
from megan.config.params import Data, Params
from megan.config.schema import Encoder, PrototypeEncoder
from megan.models import imagenet

FEATURES = 512
BATCH = 256  # images in one forward pass
LARGEST_UNPOOLED = 28  # pixels of a map that no pooling follows


def resnet(classes: int, stem_stride: int, side: int, channels: int) -> nn.Module:
    """A ResNet-18 (He et al. 2016) for images [images, channels, side, side].

    A 3x3 stem of stride 1 or 2 replaces the 7x7 one of stride 2. The max-pooling that follows stays only where the
    stem's map is larger than 28 pixels: a smaller map would become too small. Stride 2 costs a quarter of stride 1.
    """
    from torchvision.models import (
        resnet18,
    )  # slow to import, and most stages need only FEATURES

    network = resnet18(weights=None, num_classes=classes)
    network.conv1 = nn.Conv2d(channels, 64, kernel_size=3, stride=stem_stride, padding=1, bias=False)
    if side > LARGEST_UNPOOLED * stem_stride:
        return network
    network.maxpool = nn.Identity()
    return network


def planes(images: Tensor) -> Tensor:
    """uint8 [images, side, side, channels] -> float [images, channels, side, side] in 0..1."""
    # A clone, since a view of one channel counts as channels-last, for which torch has other kernels.
    return images.movedim(-1, 1).clone(memory_format=torch.contiguous_format).float() / 255


@torch.no_grad()
def features(network: nn.Module, images: Tensor) -> Tensor:
    """Average-pooled embedding: [images, channels, side, side] -> [images, 512]. The network must be in eval mode."""
    if isinstance(network, imagenet.Enlarged):
        return network(images)
    body = nn.Sequential(*list(network.children())[:-1])
    return body(images).flatten(1)


def metrics(params: Params, which: Literal["encoder", "judge"]) -> dict[str, Any]:
    """The metrics of the network that stage `encoder` or `judge` wrote; see `learnt.has_learnt`."""
    return _metrics(getattr(paths, which)(params.study))


def _metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def load(params: Params, device: str, which: Literal["encoder", "judge"]) -> nn.Module:
    """The study's pre-trained `encoder` or `judge`, in eval mode."""
    return read(getattr(paths, which)(params.study), getattr(params.current, which), params.current.data, device)


def read(folder: Path, options: Encoder, data: Data, device: str) -> nn.Module:
    """The network that a stage `encoder` or `judge` with these `options` wrote to `folder`, in eval mode."""
    weights = load_file(folder / "weights.safetensors", device=device)
    if isinstance(options, PrototypeEncoder) and options.weights == "imagenet":
        return imagenet.network(weights, _metrics(folder)["dark"]).to(device)
    network = resnet(len(weights["fc.bias"]), options.stem_stride, data.side, data.channels).to(device)
    network.load_state_dict(weights)
    return network.eval()


def embed(images: Tensor, network: nn.Module) -> Tensor:
    """Embeddings [images, 512] of uint8 images [images, side, side, channels].

    They are computed in batches, but an embedding does not depend on the other images.
    """
    size = imagenet.BATCH if isinstance(network, imagenet.Enlarged) else BATCH
    return torch.cat([features(network, planes(batch)) for batch in images.split(size)])


def prototype_rows(embeddings: Tensor, network: nn.Module) -> Tensor:
    """Scale embeddings [..., 512] of `network` so that the mean of a class is its prototype.

    Those of an encoder trained here get mean square one; those of ImageNet remain the pooled features.
    """
    if isinstance(network, imagenet.Enlarged):
        return embeddings
    return FEATURES**0.5 * nn.functional.normalize(embeddings, dim=-1)
