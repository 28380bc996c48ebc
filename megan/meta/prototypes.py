"""Class prototypes for the generator: embeddings of the pre-trained encoder (sections 1.4, 3.1)."""

from dataclasses import replace

import torch
from safetensors.torch import load_file

from megan import paths
from megan.data.packed import Split
from megan.meta import work
from megan.models import encoder
from megan.params import Params


def load(params: Params, device: str) -> torch.nn.Module:
    """The study's encoder in eval mode. Raises `work.StaleError` when it is of other parameters."""
    folder, options = paths.encoder(params.study), params.current.encoder
    work.check_fits(folder, {"encoder": options.model_dump(mode="json")}, "encoder")
    weights = load_file(folder / "weights.safetensors", device=device)
    network = encoder.resnet(len(weights["fc.bias"]), options.stem_stride).to(device)
    network.load_state_dict(weights)
    return network.eval()


def embedded(split: Split, network: torch.nn.Module) -> Split:
    """The split with an embedding of each image, [classes, drawers, 512], each of mean square one."""
    batches = split.images.flatten(0, 1).split(256)
    rows = torch.cat([encoder.features(network, batch[:, None].float() / 255) for batch in batches])
    # An image at a time: no statistic of the meta-test classes enters.
    return replace(split, embedding=encoder.FEATURES**0.5 * torch.nn.functional.normalize(rows, dim=-1).unflatten(0, split.images.shape[:2]))
