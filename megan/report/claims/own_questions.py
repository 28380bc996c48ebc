"""Questions that the paper does not ask: why N+1 differs from MAML, and what batch statistics do.

docs/claims.md describes the same rules in words. A test compares the two.
"""

from functools import partial

from megan.config.claims import Claims
from megan.report.claims import measures
from megan.report.claims.claim import OWN, Claim
from megan.report.claims.effects import Measured
from megan.report.claims.evidence import Evidence
from megan.report.claims.variants import N1, REAL_FAKE, STATISTICS_APART, UNTRAINED, WITH_QUERY


def _more(evidence: Evidence, rules: Claims, more: str, less: str, text: str) -> Measured:
    return Measured(measures.accuracy(evidence, rules, more, less, text))


def _question(number: int, text: str, more: str, less: str, what: str) -> Claim:
    return Claim(f"Q{number}", OWN, text, "", (more, less), partial(_more, more=more, less=less, text=what))


OWN_QUESTIONS = (
    _question(
        1,
        "N+1 with fakes is better than with the further output alone",
        N1,
        "control_output_only",
        "N+1 minus N+1 without fakes",
    ),
    _question(2, "The generator does more than noise", N1, "control_noise", "N+1 minus noise images"),
    _question(
        3,
        "The generator does more than augmented images that are called fake",
        N1,
        "control_augmentation",
        "N+1 minus augmented images",
    ),
    _question(
        4,
        "The generator does more than characters of other classes that are called fake",
        N1,
        "control_alphabet",
        "N+1 minus other characters",
    ),
    _question(5, "The generator does more than an untrained one", N1, UNTRAINED, "N+1 minus the frozen generator"),
    _question(
        6,
        "Batch statistics of reals and fakes apart are better than together",
        STATISTICS_APART,
        N1,
        "statistics apart minus together",
    ),
    _question(
        7,
        "Outer fakes in the batch of the query are better than in a batch of their own",
        WITH_QUERY,
        REAL_FAKE,
        "outer fakes with the query minus apart, real+fake outer loss",
    ),
)
