"""Class prototypes for the generator: embeddings of the pre-trained encoder (sections 1.4, 3.1)."""

import torch
from safetensors.torch import load_file
from torch import Tensor

from megan import paths
from megan.meta import work
from megan.models import encoder
from megan.params import Params

BATCH = 256  # images that the encoder sees at a time


def load(params: Params, device: str, which: str = "encoder") -> torch.nn.Module:
    """The study's `encoder` or `judge` in eval mode. Raises `work.StaleError` when it is of other parameters."""
    folder, options = getattr(paths, which)(params.study), getattr(params.current, which)
    work.check_fits(folder, {which: options.model_dump(mode="json")}, which)
    weights = load_file(folder / "weights.safetensors", device=device)
    network = encoder.resnet(len(weights["fc.bias"]), options.stem_stride).to(device)
    network.load_state_dict(weights)
    return network.eval()


def features(images: Tensor, network: torch.nn.Module) -> Tensor:
    """Embeddings [images, 512] of uint8 images [images, 28, 28], some at a time, each by itself: no statistic of others enters."""
    return torch.cat([encoder.features(network, batch[:, None].float() / 255) for batch in images.split(BATCH)])
