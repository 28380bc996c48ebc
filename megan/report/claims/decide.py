"""From measured parts to verdicts: which claims can be tested, Holm's correction, and the reason in words.

Both kinds of error are bounded over all claims: "supported" needs a small adjusted p value of the
test for the claim, "not supported" one of the test against it. Otherwise a claim is "undecided".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from megan.config.schema import Claims
from megan.report.claims.effects import Measured, Part, decisive, holm, leaves
from megan.report.claims.evidence import Evidence
from megan.report.claims.rules import Claim

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"


@dataclass(frozen=True)
class Decision:
    """The verdict on a claim. The p values are NaN if nothing was tested. `measured` is None if a
    variant is absent or the variants have unequal length.

    `part` is the part that decides the verdict. `detectable` is the smallest effect that it can
    detect, in its unit, at the strictest level of Holm's correction. `meta_steps` is None for
    the plain GAN.
    """

    claim: Claim
    verdict: str
    reason: str
    measured: Measured | None
    part: Part | None
    p: float
    p_holm: float
    p_against: float
    p_against_holm: float
    detectable: float
    meta_steps: int | None


def decide(claims: Sequence[Claim], evidence: Evidence, rules: Claims) -> list[Decision]:
    """One decision for each claim, in the given order.

    Holm's correction is over all these claims, tested or not.
    """
    measured = [
        None if _absent(claim, evidence) or _unequal(claim, evidence) else claim.measure(evidence, rules)
        for claim in claims
    ]
    obstacles = [_obstacles(claim, evidence, rules, one) for claim, one in zip(claims, measured, strict=True)]
    nodes = [one.node if one and not problems else None for one, problems in zip(measured, obstacles, strict=True)]
    raw = [[math.nan if node is None else getattr(node, which) for node in nodes] for which in ("p", "p_against")]
    adjusted = [holm(values) for values in raw]
    decisions = []
    for index, claim in enumerate(claims):
        one, problems = measured[index], obstacles[index]
        p, p_against = raw[0][index], raw[1][index]
        p_holm, p_against_holm = (math.nan if problems else values[index] for values in adjusted)
        verdict = SUPPORTED if p_holm <= rules.level else NOT_SUPPORTED if p_against_holm <= rules.level else UNDECIDED
        part = decisive(one.node, against=verdict == NOT_SUPPORTED) if one else None
        detectable = part.detectable(rules.level / len(claims), rules.power) if part else math.nan
        if problems or part is None:
            reason = "; ".join(problems)
        else:
            reason = _reason(
                claim, verdict, part, p_against_holm if verdict == NOT_SUPPORTED else p_holm, detectable, rules
            ) + _lost(claim, evidence)
        lengths = [evidence.meta_steps[name] for name in claim.variants if name in evidence.meta_steps]
        decisions.append(
            Decision(
                claim,
                verdict,
                reason,
                one,
                part,
                p,
                p_holm,
                p_against,
                p_against_holm,
                detectable,
                min(lengths) if lengths else None,
            )
        )
    return decisions


def _absent(claim: Claim, evidence: Evidence) -> list[str]:
    if not claim.variants:
        return [] if len(evidence.gan) else ["plain GAN"]
    return [name for name in claim.variants if name not in evidence.meta_steps]


def _unequal(claim: Claim, evidence: Evidence) -> bool:
    """Whether the variants have different training lengths, so that they cannot be compared."""
    return len({evidence.meta_steps[name] for name in claim.variants if name in evidence.meta_steps}) > 1


def _obstacles(claim: Claim, evidence: Evidence, rules: Claims, measured: Measured | None) -> list[str]:
    """Why the claim cannot be tested; empty if it can. No reason depends on an accuracy."""
    absent = _absent(claim, evidence)
    if absent:
        return [f"a variant is absent: {', '.join(absent)}" if claim.variants else "the plain GAN is absent"]
    if not claim.variants:
        problems = _gan_obstacles(evidence, rules)
        lost = ""
    else:
        problems = _variant_obstacles(claim, evidence, rules)
        planned = set.intersection(*(set(evidence.planned[name]) for name in claim.variants))
        broken = [seed for seed in planned if any(seed in evidence.diverged[name] for name in claim.variants)]
        lost = f"{len(broken)} of {len(planned)} seeds diverged" if broken else ""
    if measured is None:
        return problems
    fewest = min(part.seeds for part in leaves(measured.node) if part.given is None)
    if claim.paired and claim.variants:
        fewest = min(fewest, len(evidence.finished(claim.variants)))
    if fewest < rules.minimum_seeds and not any(problem.startswith("too few seeds") for problem in problems):
        left = f"{fewest} left, expected at least {rules.minimum_seeds}"
        problems.append(f"{lost}: {left}{_lost(claim, evidence)}" if lost else f"too few seeds with a value: {left}")
    return problems


def _variant_obstacles(claim: Claim, evidence: Evidence, rules: Claims) -> list[str]:
    problems = []
    lengths = {name: evidence.meta_steps[name] for name in claim.variants}
    if min(lengths.values()) < rules.minimum_meta_steps:
        problems.append(
            f"too short: {min(lengths.values()):,} meta-steps, expected at least {rules.minimum_meta_steps:,}"
        )
    if len(set(lengths.values())) > 1:
        problems.append(f"variants of unequal length: {_each(lengths)} meta-steps")
    planned = {name: tuple(sorted(evidence.planned[name])) for name in claim.variants}
    if len(set(planned.values())) > 1:
        problems.append("variants with different seeds")
    tasks = {name: evidence.tasks[name] for name in claim.variants if name in evidence.tasks}
    if len(set(tasks.values())) > 1:
        problems.append(f"variants tested on different tasks: {_each(tasks)} per seed")
    common = set.intersection(*map(set, planned.values()))
    if len(common) < rules.minimum_seeds:
        problems.append(_too_few(len(common), rules))
    return problems


def _gan_obstacles(evidence: Evidence, rules: Claims) -> list[str]:
    # A diverged GAN stopped early and has no KID, so the length is taken from the others.
    whole = evidence.gan.loc[evidence.gan["kid"].notna()]
    updates, seeds = int(whole["updates"].min()) if len(whole) else 0, whole["seed"].nunique()
    problems = []
    if updates < rules.minimum_updates:
        problems.append(f"too short: {updates:,} updates, expected at least {rules.minimum_updates:,}")
    if seeds < rules.minimum_seeds:
        problems.append(_too_few(seeds, rules))
    return problems


def _too_few(count: int, rules: Claims) -> str:
    return f"too few seeds: {count}, expected at least {rules.minimum_seeds}"


def _each(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in numbers.items())


def shown(value: float, unit: str) -> str:
    """An effect as text. Accuracies are in percentage points."""
    if math.isnan(value):
        return "none"
    if value == 0:
        return "0"
    return f"{100 * value:+.2f} points" if unit.startswith("accuracy") else f"{value:+.3g}"


def _reason(claim: Claim, verdict: str, part: Part, p: float, detectable: float, rules: Claims) -> str:
    low, high = part.interval
    words = f"{part.text}: {shown(part.effect, part.unit)}"
    if not math.isnan(low):
        words += f" (95 % {shown(low, part.unit)} to {shown(high, part.unit)})"
    if verdict == SUPPORTED:
        words += f"; above {shown(part.threshold, part.unit)}, adjusted p {p:.2g}"
        if claim.slight:
            size = (
                "slight"
                if high < rules.slight
                else "more than slight"
                if low > rules.slight
                else "perhaps more than slight"
            )
            words += f"; {size} ({shown(rules.slight, part.unit)} at most)"
        return words
    if verdict == NOT_SUPPORTED:
        return f"{words}; below the margin {shown(part.refuted, part.unit)}, adjusted p {p:.2g}"
    above, below = shown(part.threshold, part.unit), shown(part.refuted, part.unit)
    words += f"; neither clearly above {above} nor clearly below {below} after correction"
    return words if math.isnan(detectable) else f"{words}; smallest detectable effect {shown(detectable, part.unit)}"


def _lost(claim: Claim, evidence: Evidence) -> str:
    broken = {name: len(evidence.diverged[name]) for name in claim.variants if evidence.diverged[name]}
    return f"; diverged seeds: {_each(broken)}" if broken else ""
