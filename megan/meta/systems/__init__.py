"""The systems of the paper, one module for each.

Groups of weights: `shared`, `cls`, `dsc` (theta of Algorithm 1), `gen` (phi).
"""

from megan.config.params import Inner, Variant
from megan.meta.systems.base import Descent, System
from megan.meta.systems.maml import Maml
from megan.meta.systems.multi_task import MultiTask
from megan.meta.systems.n_plus_1 import NPlus1

__all__ = ["SYSTEMS", "Descent", "System", "build"]

SYSTEMS: dict[str, type[System]] = {"maml": Maml, "n_plus_1": NPlus1, "multi_task": MultiTask}  # by `approach`


def build(variant: Variant, inner: Inner, ways: int, prototype_size: int = 0) -> System:
    """The system of a variant; `prototype_size` is that of the encoder, if prototypes condition the generator."""
    return SYSTEMS[variant.approach](variant, inner, ways, prototype_size)
