"""The methods of the paper, one module for each. Its name is the name of the method in `params.yaml` (`approach`).

A module defines `SYSTEM`, a subclass of `megan.meta.system.System`.
"""

from importlib import import_module

from megan.config.params import Inner, Variant
from megan.meta.system import Descent, System
from megan.models.sizes import Sizes

__all__ = ["Descent", "System", "build"]


def build(variant: Variant, inner: Inner, ways: int, sizes: Sizes, prototype_size: int = 0) -> System:
    """The system of a variant; `prototype_size` is the encoder's, if the generator is conditioned on prototypes."""
    found: type[System] = import_module(f"megan.meta.systems.{variant.approach}").SYSTEM
    return found(variant, inner, ways, sizes, prototype_size)
