"""What a claim is: its text, the variants that it compares, and its conditions."""

from collections.abc import Callable
from dataclasses import dataclass

from megan.config.claims import Claims
from megan.report.claims.effects import Measured
from megan.report.claims.evidence import Evidence

PRIMARY, SECONDARY, OWN = "primary", "secondary", "own questions"  # families: Holm's correction is within each


@dataclass(frozen=True)
class Claim:
    """A claim of the paper ("1" to "17"), or a question of our own ("Q1", ...).

    `source`: section or figure of the paper. `variants` is empty for the plain GAN. `slight`: it says "slightly".
    `paired`: a seed counts only if all variants finished it. False for stability over seeds and for correlations
    over many variants. `constant`: needs a constant learning rate. `harmed`: variants of which it says that
    something hurts them; one that learnt nothing then counts with its accuracy. `realism`: it compares how
    realistic these variants are, so one of them must be more realistic than an untrained generator.
    `snapshots`: it needs snapshots of training.
    """

    id: str
    family: str
    text: str
    source: str
    variants: tuple[str, ...]
    measure: Callable[[Evidence, Claims], Measured]
    slight: bool = False
    paired: bool = True
    constant: bool = False
    harmed: tuple[str, ...] = ()
    realism: tuple[str, ...] = ()
    snapshots: bool = False
