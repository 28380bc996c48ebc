"""What is measured for the claims about fakes, GAN losses and the plain GAN: 8 to 14, 16 and 17."""

from megan.config.claims import Claims
from megan.report.claims import measures, over_training, stability
from megan.report.claims.effects import AllOf, Measured
from megan.report.claims.evidence import Evidence
from megan.report.claims.variants import (
    APART,
    FCN_SKIP,
    GENERATORS,
    LABEL,
    MULTI_TASK_MATCHED,
    N1_MATCHED,
    N1_SHORT,
    OTHER_LOSSES,
    SLOW,
    WASSERSTEIN,
)

BOUNDARY = 25  # the paper says that a plain GAN fails with fewer images


def image_over_label(evidence: Evidence, rules: Claims) -> Measured:
    realistic = measures.realism(evidence, rules, LABEL, APART, "KID of label over KID of image")
    stable = stability.over_tasks(evidence, rules, LABEL, APART, "spread of KID over tasks, label over image")
    log_kid = measures.log_kid(evidence.kid, rules)
    return Measured(
        AllOf((realistic, stable)), (stability.over_seeds(evidence, rules, log_kid, [LABEL], [APART], "log KID"),)
    )


def generator_rate(evidence: Evidence, rules: Claims) -> Measured:
    return Measured(measures.realism(evidence, rules, SLOW, APART, "KID at 0.001 over KID at 0.4"))


def realism_helps(evidence: Evidence, rules: Claims) -> Measured:
    return Measured(measures.realism_and_accuracy(evidence, rules, GENERATORS))


def discrimination(evidence: Evidence, rules: Claims) -> Measured:
    parts = []
    for approach, base in (("multi_task", APART), ("n_plus_1", N1_SHORT)):
        term = f"{approach}_discrimination"
        parts.append(
            measures.realism(evidence, rules, base, term, f"KID without the term over KID with it, {approach}")
        )
        parts.append(
            measures.accuracy(evidence, rules, base, term, f"accuracy without the term minus with it, {approach}")
        )
    return Measured(AllOf(tuple(parts)))


def few_images(evidence: Evidence, rules: Claims) -> Measured:
    return Measured(measures.plain_gan(evidence, rules, BOUNDARY))


def wasserstein_stable(evidence: Evidence, rules: Claims) -> Measured:
    log_kid = measures.log_kid(evidence.kid, rules)
    accuracy, realism = (
        stability.over_seeds(
            evidence, rules, values, OTHER_LOSSES, WASSERSTEIN, f"{what}, the other losses minus Wasserstein"
        )
        for values, what in ((evidence.accuracy, "accuracy"), (log_kid, "log KID"))
    )
    return Measured(accuracy, (realism,))


def less_sensitive(evidence: Evidence, rules: Claims) -> Measured:
    text = "loss of multi-task minus loss of N+1"
    pairs = list(zip(MULTI_TASK_MATCHED, N1_MATCHED, strict=True))
    without = []  # a slope over few variants may rest on one of them
    for left_out in pairs:
        strong, weak = zip(*(pair for pair in pairs if pair != left_out), strict=True)
        name = f"{text}, without {' and '.join(left_out)}"
        without.append(measures.sensitivity(evidence, rules, strong, weak, name))
    return Measured(
        measures.sensitivity(evidence, rules, MULTI_TASK_MATCHED, N1_MATCHED, text),
        tuple(part for part in without if part.values),
    )


def without_skip(evidence: Evidence, rules: Claims) -> Measured:
    legible = measures.distance(
        evidence, rules, N1_SHORT, FCN_SKIP, "distance to the support image, standard minus FCN with skip"
    )
    better = measures.accuracy(evidence, rules, N1_SHORT, FCN_SKIP, "accuracy, standard minus FCN with skip")
    return Measured(
        AllOf((legible, better)),
        (measures.realism(evidence, rules, N1_SHORT, FCN_SKIP, "KID, standard over FCN with skip"),),
    )


def value_follows(evidence: Evidence, rules: Claims) -> Measured:
    named = {name: f"critic's value and KID over the snapshots of training, {name}" for name in WASSERSTEIN}
    parts = [over_training.critic_and_realism(evidence, rules, name, text) for name, text in named.items()]
    return Measured(AllOf(tuple(parts[:2])), tuple(parts[2:]))  # in N+1 the classifier is the critic
