"""A reproduction package for "MeGAN: Meta-Learned Data Augmentation GAN for Few-Shot Image Classification"."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from megan.use.classifier import FewShotClassifier

__all__ = ["FewShotClassifier"]


def __getattr__(name: str) -> Any:
    """`FewShotClassifier` when it is first asked for: torch takes seconds to import."""
    if name in __all__:
        return getattr(import_module("megan.use.classifier"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
