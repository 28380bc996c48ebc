"""Put a variant of `params.yaml` together: its system, and the splits as it wants them."""

from typing import Any

from megan import paths
from megan.data import packed
from megan.data.packed import Split
from megan.meta import prototypes, work
from megan.meta.system import System
from megan.models import encoder
from megan.params import Params


def system(params: Params, name: str) -> System:
    study, variant = params.current, params.variant(name)
    return System(variant, study.inner, study.tasks.ways, encoder.FEATURES if variant.needs_encoder else 0)


def split(params: Params, name: str, part: str, device: str) -> Split:
    """Split `part` on the device, with the encoder's embeddings for a variant that conditions on prototypes."""
    rotations = part == "train" and params.current.data.rotations
    images = packed.load(paths.split(params.study, part), rotations, device)
    if not params.variant(name).needs_encoder:
        return images
    return prototypes.embedded(images, prototypes.load(params, device))


def made_of(params: Params, name: str, *parts: str) -> dict[str, Any]:
    """Digests of the data, and of the encoder where the variant needs it."""
    digests: dict[str, Any] = work.data_digests(params.study, *parts)
    if params.variant(name).needs_encoder:
        digests["encoder"] = work.read_record(paths.encoder(params.study), "encoder")["digest"]
    return digests
