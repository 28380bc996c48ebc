"""MAML (Finn et al. 2017; section 1.2 of the paper): the baseline, a classifier without fakes."""

from dataclasses import dataclass

from megan.meta.system import System


@dataclass(frozen=True)
class Maml(System):
    """Cross-entropy on the support in the inner loop, on the query in the outer loop."""


SYSTEM = Maml
