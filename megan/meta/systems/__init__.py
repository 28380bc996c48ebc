"""The methods of the paper, a module each; its name is its name in `params.yaml` (`approach`).

A module states a subclass of `megan.meta.system.System` as `SYSTEM`.
"""

from importlib import import_module

from megan.config.params import Inner, Variant
from megan.meta.system import Descent, System
from megan.models.sizes import Sizes

__all__ = ["Descent", "System", "build"]


def build(variant: Variant, inner: Inner, ways: int, sizes: Sizes, prototype_size: int = 0) -> System:
    """The system of a variant; `prototype_size` is the encoder's, where the generator is conditioned on prototypes."""
    found: type[System] = import_module(f"megan.meta.systems.{variant.approach}").SYSTEM
    return found(variant, inner, ways, sizes, prototype_size)
