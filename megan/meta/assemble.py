"""Put a variant of `params.yaml` together: its system, and the splits as it wants them."""

from dataclasses import replace
from typing import Any

import torch

from megan import paths
from megan.data import packed
from megan.data.packed import Split
from megan.meta import prototypes, work
from megan.meta.parallel import Workers
from megan.meta.processes import Tensors
from megan.meta.system import System
from megan.models import encoder
from megan.params import Params


def system(params: Params, name: str) -> System:
    study, variant = params.current, params.variant(name)
    return System(variant, study.inner, study.tasks.ways, encoder.FEATURES if variant.needs_encoder else 0)


def split(params: Params, name: str, part: str, workers: Workers) -> Split:
    """Split `part` on the device, with the encoder's embeddings for a variant that conditions on prototypes."""
    rotations = part == "train" and params.current.data.rotations
    images = packed.load(paths.split(params.study, part), rotations, workers.device)
    if not params.variant(name).needs_encoder:
        return images
    return _embedded(images, prototypes.load(params, workers.device), workers)


def _embedded(split: Split, network: torch.nn.Module, workers: Workers) -> Split:
    """The split with an embedding of each image, [classes, drawers, 512], each of mean square one."""
    batches = split.images.flatten(0, 1).split(prototypes.BATCH)

    def embed(number: int) -> Tensors:
        return {"rows": prototypes.features(batches[number], network)}

    rows = torch.cat([batch["rows"] for batch in workers.map(embed, range(len(batches)))])
    return replace(split, embedding=encoder.FEATURES**0.5 * torch.nn.functional.normalize(rows, dim=-1).unflatten(0, split.images.shape[:2]))


def made_of(params: Params, name: str, *parts: str) -> dict[str, Any]:
    """Digests of the data, and of the encoder where the variant needs it."""
    digests: dict[str, Any] = work.data_digests(params.study, *parts)
    if params.variant(name).needs_encoder:
        digests["encoder"] = work.read_record(paths.encoder(params.study), "encoder")["digest"]
    return digests
