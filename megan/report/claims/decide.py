"""From measured parts to verdicts: the gates, Holm's correction within each family, and the reason in words.

Each kind of error is bounded within each family: "supported" needs a small adjusted p value of the test for the
claim, "opposite" one of the test against it, "no difference" one of the test of equivalence. Otherwise a claim is
"undecided", or "failed its gate" if it was not tested. In a provisional study, in which variants are left to run, a
claim that needs them is "not run yet".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from megan.config.claims import Claims
from megan.report.claims import gates
from megan.report.claims.claim import Claim
from megan.report.claims.effects import P_EQUAL, P_OPPOSITE, Measured, P, Part, decisive, holm, leaves
from megan.report.claims.evidence import Evidence
from megan.report.claims.measures import FACTOR

SUPPORTED, OPPOSITE, NO_DIFFERENCE = "supported", "opposite", "no difference"
UNDECIDED, FAILED, NOT_RUN = "undecided", "failed its gate", "not run yet"
VERDICTS = (SUPPORTED, OPPOSITE, NO_DIFFERENCE, UNDECIDED, FAILED, NOT_RUN)
TESTS = {SUPPORTED: P, OPPOSITE: P_OPPOSITE, NO_DIFFERENCE: P_EQUAL}  # the first that is significant decides


@dataclass(frozen=True)
class Decision:
    """The verdict on a claim. `measured` is None if a variant is absent or the variants have unequal length.

    `raw` and `adjusted`: the p values by the names of `TESTS`, before and after Holm's correction; NaN if nothing
    was tested. `part` is the part that decides the verdict. `detectable` is the smallest effect that it can
    detect, in its unit, at the strictest level of Holm's correction. `meta_steps` is None for the plain GAN.
    """

    claim: Claim
    verdict: str
    reason: str
    measured: Measured | None
    part: Part | None
    raw: dict[str, float]
    adjusted: dict[str, float]
    detectable: float
    meta_steps: int | None


@dataclass(frozen=True)
class _Case:
    """A claim with the evidence that counts for it."""

    claim: Claim
    evidence: Evidence
    measured: Measured | None
    problems: list[str]
    lost: str
    p: dict[str, float]
    waits: bool


def decide(claims: Sequence[Claim], evidence: Evidence, rules: Claims) -> list[Decision]:
    """One decision for each claim, in the given order.

    Holm's correction is over all claims of a family, tested or not.
    """
    cases = [_case(claim, evidence, rules) for claim in claims]
    adjusted: dict[str, dict[str, float]] = {claim.id: {} for claim in claims}
    for family in dict.fromkeys(claim.family for claim in claims):
        own = [case for case in cases if case.claim.family == family]
        for which in TESTS.values():
            for case, value in zip(own, holm([case.p[which] for case in own]), strict=True):
                adjusted[case.claim.id][which] = math.nan if math.isnan(case.p[which]) else value
    sizes = {claim.family: sum(one.family == claim.family for one in claims) for claim in claims}
    return [_decision(case, adjusted[case.claim.id], rules, sizes[case.claim.family]) for case in cases]


def _case(claim: Claim, evidence: Evidence, rules: Claims) -> _Case:
    lost, evidence = gates.lost(claim, evidence), evidence.counting(claim.harmed)
    missing, waits = gates.absent(claim, evidence), gates.waits(claim, evidence)
    whole = not missing and not waits and not gates.unequal(claim, evidence)
    measured = claim.measure(evidence, rules) if whole else None
    problems = gates.problems(claim, evidence, rules, measured)
    tested = None if measured is None or problems else measured.node
    p = {which: getattr(tested, which) if tested else math.nan for which in TESTS.values()}
    return _Case(claim, evidence, measured, problems, lost, p, bool(waits) and not missing)


def _decision(case: _Case, adjusted: dict[str, float], rules: Claims, family: int) -> Decision:
    found = [verdict for verdict, which in TESTS.items() if adjusted[which] <= rules.level]
    verdict = FAILED if case.problems else found[0] if found else UNDECIDED
    verdict = NOT_RUN if case.waits else verdict
    part = decisive(case.measured.node, TESTS.get(verdict, P)) if case.measured else None
    detectable = part.detectable(rules.level / family, rules.power) if part else math.nan
    reason = "; ".join(case.problems)
    if not case.problems and part is not None:
        p = adjusted[TESTS[verdict]] if verdict in TESTS else math.nan
        reason = _reason(case, verdict, part, p, detectable, rules) + case.lost
    lengths = [case.evidence.meta_steps[name] for name in case.claim.variants if name in case.evidence.meta_steps]
    return Decision(
        case.claim,
        verdict,
        reason,
        case.measured,
        part,
        case.p,
        adjusted,
        detectable,
        min(lengths) if lengths else None,
    )


def shown(value: float, unit: str) -> str:
    """An effect as text. Accuracies are in percentage points, logarithms are factors."""
    if math.isnan(value):
        return "none"
    if unit == FACTOR:
        return f"factor {math.exp(value):.2f}"
    if value == 0:
        return "0"
    return f"{100 * value:+.2f} points" if unit.startswith("accuracy") else f"{value:+.3g}"


def _reason(case: _Case, verdict: str, part: Part, p: float, detectable: float, rules: Claims) -> str:
    low, high = part.interval
    words = f"{part.text}: {shown(part.effect, part.unit)}"
    if not math.isnan(low):
        words += f" (95 % {shown(low, part.unit)} to {shown(high, part.unit)})"
    threshold, margin = shown(part.threshold, part.unit), shown(part.margin, part.unit)
    if verdict == SUPPORTED:
        words += f"; above {threshold}, adjusted p {p:.2g}"
        if high < part.margin:
            words += f"; smaller than the margin {margin}"
        return words + (_size(low, high, part, rules) if case.claim.slight else "")
    count = len(leaves(case.measured.node)) if case.measured else 1
    needed = f"; the claim needs all {count} parts" if count > 1 else ""
    if verdict == OPPOSITE:
        return f"{words}; below {threshold}, adjusted p {p:.2g}{needed}"
    if verdict == NO_DIFFERENCE:
        return f"{words}; nearer to no difference than the margin {margin}, adjusted p {p:.2g}{needed}"
    words += f"; neither clearly above {threshold}, nor below, nor equal within {margin}, after correction"
    return words if math.isnan(detectable) else f"{words}; smallest detectable effect {shown(detectable, part.unit)}"


def _size(low: float, high: float, part: Part, rules: Claims) -> str:
    """Whether the interval lies within what "slightly" may mean."""
    size = "slight" if high < rules.slight else "more than slight" if low > rules.slight else "perhaps more than slight"
    return f"; {size} ({shown(rules.slight, part.unit)} at most)"
