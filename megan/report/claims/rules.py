"""The 17 claims: their text, the variants that they compare, and what is measured.

docs/claims.md describes the same rules in words. A test compares the two.
"""

from collections.abc import Callable
from dataclasses import dataclass

from megan.config.schema import Claims
from megan.report.claims import measures
from megan.report.claims.effects import AllOf, AnyOf, Measured
from megan.report.claims.evidence import Evidence

MAML, N1 = "maml", "n_plus_1"
EQUAL, WEIGHTED, REAL_FAKE, HYBRID = "n_plus_1_equal", "n_plus_1_weighted", "n_plus_1_real_fake", "n_plus_1_hybrid"
MAML_SHORT, N1_SHORT = "maml_short", "n_plus_1_short"
SHARING = tuple(f"multi_task_{shared}" for shared in range(5))
APART = SHARING[0]  # no shared layers
SLOW, LABEL, UNCLASSIFIED = "multi_task_slow", "multi_task_label", "multi_task_unclassified"
FCN_SKIP = "n_plus_1_fcn_skip"
# Generators that differ in one option each, in multi-task without shared layers and in N+1. Left out are
# multi_task_none and multi_task_unclassified: their classifier never sees a fake, so fakes cannot affect it.
GENERATORS = tuple(
    f"multi_task_{what}"
    for what in ("0", "slow", "label", "prototype", "vanilla", "wasserstein", "gradient_penalty", "discrimination")
)
MATCHED = ("label", "prototype", "vanilla", "wasserstein", "gradient_penalty", "discrimination")
MULTI_TASK_MATCHED = (APART, *(f"multi_task_{what}" for what in MATCHED))
N1_MATCHED = (N1_SHORT, *(f"n_plus_1_{what}" for what in MATCHED))
WASSERSTEIN = tuple(
    f"{approach}_{loss}" for approach in ("multi_task", "n_plus_1") for loss in ("wasserstein", "gradient_penalty")
)
OTHER_LOSSES = (APART, "multi_task_vanilla", N1_SHORT, "n_plus_1_vanilla")
BOUNDARY = 25  # the paper says that a plain GAN fails with fewer images


@dataclass(frozen=True)
class Claim:
    """`source`: section or figure of the paper. `variants` is empty for the plain GAN. `slight`: it says "slightly".

    `paired`: a seed counts only if all variants finished it. False for stability, where a
    diverged run is part of the measurement, and for correlations over many variants.
    """

    number: int
    text: str
    source: str
    variants: tuple[str, ...]
    measure: Callable[[Evidence, Claims], Measured]
    slight: bool = False
    paired: bool = True


def _beats(evidence: Evidence, rules: Claims) -> Measured:
    return Measured(measures.accuracy(evidence, rules, N1, MAML, "N+1 minus MAML"))


def _faster(evidence: Evidence, rules: Claims) -> Measured:
    return Measured(
        AllOf((measures.area(evidence, rules, N1, MAML), measures.time_to_reach(evidence, rules, N1, MAML)))
    )


def _at_best_slightly_below(evidence: Evidence, rules: Claims) -> Measured:
    below = AllOf(tuple(measures.accuracy(evidence, rules, MAML_SHORT, name, f"MAML minus {name}") for name in SHARING))
    near = AnyOf(
        tuple(
            measures.slightly_below(evidence, rules, name, MAML_SHORT, f"{name} minus MAML, at most slightly below")
            for name in SHARING
        )
    )
    return Measured(AllOf((below, near)))


def _fakes_hurt(evidence: Evidence, rules: Claims) -> Measured:
    part = measures.accuracy(evidence, rules, UNCLASSIFIED, APART, "fakes not classified minus fakes classified")
    return Measured(
        part, (measures.accuracy(evidence, rules, UNCLASSIFIED, MAML_SHORT, "fakes not classified minus MAML"),)
    )


def _weight(evidence: Evidence, rules: Claims) -> Measured:
    hurts = measures.accuracy(evidence, rules, MAML, EQUAL, "MAML minus equal weight")
    helps = measures.accuracy(evidence, rules, WEIGHTED, EQUAL, "3:1 minus equal weight")
    return Measured(AllOf((hurts, helps)), (measures.accuracy(evidence, rules, WEIGHTED, MAML, "3:1 minus MAML"),))


def _late_fakes(evidence: Evidence, rules: Claims) -> Measured:
    part = measures.accuracy(evidence, rules, N1, WEIGHTED, "fakes after 3 of 5 steps minus fakes from the first step")
    return Measured(part)


def _real_best(evidence: Evidence, rules: Claims) -> Measured:
    others = ((REAL_FAKE, "real+fake"), (HYBRID, "hybrid"))
    return Measured(
        AllOf(tuple(measures.accuracy(evidence, rules, N1, name, f"real minus {text}") for name, text in others))
    )


def _image_over_label(evidence: Evidence, rules: Claims) -> Measured:
    realistic = measures.realism(evidence, rules, LABEL, APART, "KID of label minus KID of image")
    return Measured(AllOf((realistic, measures.stability(evidence, rules, evidence.kid, [LABEL], [APART], "KID"))))


def _generator_rate(evidence: Evidence, rules: Claims) -> Measured:
    return Measured(measures.realism(evidence, rules, SLOW, APART, "KID at 0.001 minus KID at 0.4"))


def _realism_helps(evidence: Evidence, rules: Claims) -> Measured:
    return Measured(measures.realism_and_accuracy(evidence, rules, GENERATORS))


def _discrimination(evidence: Evidence, rules: Claims) -> Measured:
    parts = []
    for approach, base in (("multi_task", APART), ("n_plus_1", N1_SHORT)):
        term = f"{approach}_discrimination"
        parts.append(
            measures.realism(evidence, rules, base, term, f"KID without the term minus KID with it, {approach}")
        )
        parts.append(
            measures.accuracy(evidence, rules, base, term, f"accuracy without the term minus with it, {approach}")
        )
    return Measured(AllOf(tuple(parts)))


def _few_images(evidence: Evidence, rules: Claims) -> Measured:
    return Measured(measures.plain_gan(evidence, rules, BOUNDARY))


def _wasserstein_stable(evidence: Evidence, rules: Claims) -> Measured:
    part = measures.stability(
        evidence, rules, evidence.accuracy, OTHER_LOSSES, WASSERSTEIN, "accuracy, the other losses minus Wasserstein"
    )
    return Measured(
        part,
        (
            measures.stability(
                evidence, rules, evidence.kid, OTHER_LOSSES, WASSERSTEIN, "KID, the other losses minus Wasserstein"
            ),
        ),
    )


def _less_sensitive(evidence: Evidence, rules: Claims) -> Measured:
    return Measured(
        measures.sensitivity(evidence, rules, MULTI_TASK_MATCHED, N1_MATCHED, "loss of multi-task minus loss of N+1")
    )


def _over_multi_task(evidence: Evidence, rules: Claims) -> Measured:
    return Measured(
        AllOf(tuple(measures.accuracy(evidence, rules, N1_SHORT, name, f"N+1 minus {name}") for name in SHARING))
    )


def _without_skip(evidence: Evidence, rules: Claims) -> Measured:
    legible = measures.distance(
        evidence, rules, N1_SHORT, FCN_SKIP, "distance to the support image, standard minus FCN with skip"
    )
    better = measures.accuracy(evidence, rules, N1_SHORT, FCN_SKIP, "accuracy, standard minus FCN with skip")
    return Measured(
        AllOf((legible, better)),
        (measures.realism(evidence, rules, N1_SHORT, FCN_SKIP, "KID, standard minus FCN with skip"),),
    )


def _value_follows(evidence: Evidence, rules: Claims) -> Measured:
    named = {name: f"Wasserstein estimate and KID over tasks, {name}" for name in WASSERSTEIN}
    parts = [measures.critic_and_realism(evidence, rules, name, text) for name, text in named.items()]
    return Measured(AllOf(tuple(parts[:2])), tuple(parts[2:]))  # in N+1 the classifier is the critic


CLAIMS = (
    Claim(1, "N+1 with the real outer loss beats MAML, slightly", "4.2, Fig. 6", (MAML, N1), _beats, slight=True),
    Claim(2, "N+1 converges faster than MAML", "4.2, Fig. 6", (MAML, N1), _faster),
    Claim(
        3,
        "Multi-task is at best slightly below MAML, however many layers are shared",
        "4.1",
        (MAML_SHORT, *SHARING),
        _at_best_slightly_below,
    ),
    Claim(
        4,
        "Without shared layers, fakes hurt when the classifier also learns to classify them",
        "4.1, Fig. 10",
        (UNCLASSIFIED, APART, MAML_SHORT),
        _fakes_hurt,
    ),
    Claim(5, "Equal weight of reals and fakes hurts; 3:1 helps", "4.2, Fig. 5", (MAML, EQUAL, WEIGHTED), _weight),
    Claim(6, "Using fakes only after 3 of 5 inner steps helps", "4.2, Fig. 5", (N1, WEIGHTED), _late_fakes),
    Claim(7, "Of the three outer losses, real is the best", "4.2, Fig. 6", (N1, REAL_FAKE, HYBRID), _real_best),
    Claim(
        8,
        "Conditioning on the image gives more realistic and more stable samples than on the label",
        "5.1.2, Fig. 8",
        (APART, LABEL),
        _image_over_label,
        paired=False,
    ),
    Claim(
        9,
        "A generator inner step of 0.4 gives more realistic samples than 0.001",
        "5.1.2, Fig. 8",
        (APART, SLOW),
        _generator_rate,
    ),
    Claim(
        10,
        "Without shared layers, more realistic fakes give a better classifier",
        "5.1.2, Fig. 8",
        GENERATORS,
        _realism_helps,
        paired=False,
    ),
    Claim(
        11,
        "A discrimination term in the outer loss gives more realistic images and lower accuracy",
        "3.4",
        (APART, "multi_task_discrimination", N1_SHORT, "n_plus_1_discrimination"),
        _discrimination,
    ),
    Claim(12, "A plain GAN degrades as the number of images falls below 25", "5.1.1, Fig. 7", (), _few_images),
    Claim(
        13,
        "Wasserstein losses train more stably than vanilla and non-saturating",
        "3.4, 4.1",
        (*WASSERSTEIN, *OTHER_LOSSES),
        _wasserstein_stable,
        paired=False,
    ),
    Claim(
        14,
        "N+1 is less sensitive to noisy fakes than multi-task",
        "5.1.2",
        (*MULTI_TASK_MATCHED, *N1_MATCHED),
        _less_sensitive,
        paired=False,
    ),
    Claim(15, "N+1 beats multi-task", "3, 4.2", (N1_SHORT, *SHARING), _over_multi_task),
    Claim(
        16,
        "Without skip, samples are harder to recognise, yet the standard generator gives higher accuracy",
        "4.2, Fig. 9",
        (N1_SHORT, FCN_SKIP),
        _without_skip,
    ),
    Claim(17, "The Wasserstein value follows image quality", "3.4", WASSERSTEIN, _value_follows, paired=False),
)
