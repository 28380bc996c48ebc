"""Names that stand for a module: a data set, a GAN loss and a method are each one module of their folder.

The parameter takes the module's name. So a new one is found where it is written, and nothing lists it a
second time. Modules whose names begin with an underscore are no choice.
"""

import functools
from pathlib import Path

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

PACKAGE = Path(__file__).parents[1]


@functools.cache
def modules(folder: str) -> tuple[str, ...]:
    """Names of the modules in a folder of this package, sorted."""
    return tuple(sorted(path.stem for path in (PACKAGE / folder).glob("*.py") if not path.stem.startswith("_")))


def module_of(folder: str) -> AfterValidator:
    """For a parameter that names a module of `folder`."""

    def known(name: str) -> str:
        if name not in modules(folder):
            *others, last = [repr(module) for module in modules(folder)]
            expected = f"{', '.join(others)} or {last}" if others else last
            raise PydanticCustomError("unknown_module", "{expected}", {"expected": expected})
        return name

    return AfterValidator(known)
