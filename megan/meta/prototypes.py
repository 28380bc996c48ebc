"""Class prototypes for the generator: embeddings of the pre-trained encoder (sections 1.4, 3.1)."""

from dataclasses import replace

import torch
from safetensors.torch import load_file
from torch import Tensor

from megan import paths
from megan.data.packed import Split
from megan.meta import work
from megan.models import encoder
from megan.params import Params


def load(params: Params, device: str, which: str = "encoder") -> torch.nn.Module:
    """The study's `encoder` or `judge` in eval mode. Raises `work.StaleError` when it is of other parameters."""
    folder, options = getattr(paths, which)(params.study), getattr(params.current, which)
    work.check_fits(folder, {which: options.model_dump(mode="json")}, which)
    weights = load_file(folder / "weights.safetensors", device=device)
    network = encoder.resnet(len(weights["fc.bias"]), options.stem_stride).to(device)
    network.load_state_dict(weights)
    return network.eval()


def embedded(split: Split, network: torch.nn.Module) -> Split:
    """The split with an embedding of each image, [classes, drawers, 512], each of mean square one."""
    # An image at a time: no statistic of the meta-test classes enters.
    rows = features(split.images.flatten(0, 1), network)
    return replace(split, embedding=encoder.FEATURES**0.5 * torch.nn.functional.normalize(rows, dim=-1).unflatten(0, split.images.shape[:2]))


def features(images: Tensor, network: torch.nn.Module) -> Tensor:
    """Embeddings [images, 512] of uint8 images [images, 28, 28], some at a time."""
    return torch.cat([encoder.features(network, batch[:, None].float() / 255) for batch in images.split(256)])
