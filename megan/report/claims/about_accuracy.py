"""What is measured for the claims about accuracy and speed: 1 to 7, and 15."""

from megan.config.claims import Claims
from megan.report.claims import measures, over_training
from megan.report.claims.effects import AllOf, AnyOf, Measured
from megan.report.claims.evidence import Evidence
from megan.report.claims.variants import (
    APART,
    EQUAL,
    HYBRID,
    MAML,
    MAML_SHORT,
    N1,
    N1_SHORT,
    REAL_FAKE,
    SHARING,
    UNCLASSIFIED,
    UNTOLD,
    WEIGHTED,
)


def beats(evidence: Evidence, rules: Claims) -> Measured:
    return Measured(measures.accuracy(evidence, rules, N1, MAML, "N+1 minus MAML"))


def faster(evidence: Evidence, rules: Claims) -> Measured:
    speeds = [over_training.speed(evidence, rules, N1, MAML, share) for share in rules.gains]
    return Measured(AllOf((over_training.area(evidence, rules, N1, MAML), *speeds)))


def at_best_slightly_below(evidence: Evidence, rules: Claims) -> Measured:
    names = (*SHARING, UNTOLD)
    below = AllOf(tuple(measures.accuracy(evidence, rules, MAML_SHORT, name, f"MAML minus {name}") for name in names))
    near = AnyOf(
        tuple(
            measures.slightly_below(evidence, rules, name, MAML_SHORT, f"{name} minus MAML, at most slightly below")
            for name in names
        )
    )
    told = measures.accuracy(evidence, rules, APART, UNTOLD, "told real or fake minus not told, no shared layers")
    return Measured(AllOf((below, near)), (told,))


def fakes_hurt(evidence: Evidence, rules: Claims) -> Measured:
    part = measures.accuracy(evidence, rules, UNCLASSIFIED, APART, "fakes not classified minus fakes classified")
    return Measured(
        part, (measures.accuracy(evidence, rules, UNCLASSIFIED, MAML_SHORT, "fakes not classified minus MAML"),)
    )


def weight(evidence: Evidence, rules: Claims) -> Measured:
    hurts = measures.accuracy(evidence, rules, MAML, EQUAL, "MAML minus equal weight")
    helps = measures.accuracy(evidence, rules, WEIGHTED, EQUAL, "3:1 minus equal weight")
    return Measured(AllOf((hurts, helps)), (measures.accuracy(evidence, rules, WEIGHTED, MAML, "3:1 minus MAML"),))


def late_fakes(evidence: Evidence, rules: Claims) -> Measured:
    part = measures.accuracy(evidence, rules, N1, WEIGHTED, "fakes after 3 of 5 steps minus fakes from the first step")
    return Measured(part)


def real_best(evidence: Evidence, rules: Claims) -> Measured:
    others = ((REAL_FAKE, "real+fake"), (HYBRID, "hybrid"))
    return Measured(
        AllOf(tuple(measures.accuracy(evidence, rules, N1, name, f"real minus {text}") for name, text in others))
    )


def over_multi_task(evidence: Evidence, rules: Claims) -> Measured:
    return Measured(
        AllOf(tuple(measures.accuracy(evidence, rules, N1_SHORT, name, f"N+1 minus {name}") for name in SHARING))
    )
