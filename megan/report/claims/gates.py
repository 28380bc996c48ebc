"""Which claims can be tested: the length, the seeds, the tasks, and whether the runs learnt anything.

No gate depends on which variant is the better one.
"""

import math
from collections.abc import Callable

import numpy as np

from megan.config.claims import Claims, Least
from megan.report.claims import measures
from megan.report.claims.about_fakes import BOUNDARY
from megan.report.claims.claim import PRIMARY, Claim
from megan.report.claims.effects import Measured, leaves
from megan.report.claims.evidence import Evidence
from megan.report.claims.variants import UNTRAINED


def least(claim: Claim, evidence: Evidence, rules: Claims) -> Least:
    """The length and the seeds that a claim needs. A replication of the primary claims in another study needs fewer."""
    replicated = claim.family == PRIMARY and evidence.study != rules.study
    return rules.replication if replicated else rules.least[claim.id]


def waits(claim: Claim, evidence: Evidence) -> list[str]:
    """What a provisional study has not run yet, in words: variants of the claim, or the plain GAN."""
    if not claim.variants:
        return ["not run yet: the plain GAN"] if "gan" in evidence.waiting else []
    named = [*claim.variants, *([UNTRAINED] if claim.realism else [])]
    missing = [name for name in dict.fromkeys(named) if f"test@{name}" in evidence.waiting]
    return [f"not run yet: {', '.join(missing)}"] if missing else []


def absent(claim: Claim, evidence: Evidence) -> list[str]:
    """Why nothing can be shown: variants, or the plain GAN, that the study does not have."""
    if not claim.variants:
        return [] if len(evidence.gan) or "gan" in evidence.waiting else ["the plain GAN is absent"]
    known = {*evidence.meta_steps, *(address.removeprefix("test@") for address in evidence.waiting)}
    missing = [name for name in claim.variants if name not in known]
    return [f"a variant is absent: {', '.join(missing)}"] if missing else []


def unequal(claim: Claim, evidence: Evidence) -> bool:
    """Whether the variants have different training lengths, so that they cannot be compared."""
    return len({evidence.meta_steps[name] for name in claim.variants if name in evidence.meta_steps}) > 1


def problems(claim: Claim, evidence: Evidence, rules: Claims, measured: Measured | None) -> list[str]:
    """The gates that a claim fails, as words; empty if it can be tested.

    `evidence` is without the runs that learnt nothing, where these do not count.
    """
    missing = absent(claim, evidence) or waits(claim, evidence)
    if missing:
        return missing
    needed = least(claim, evidence, rules)
    if not claim.variants:
        return _of_gan(evidence, rules, needed)
    checks: list[Callable[[], list[str]]] = [
        lambda: _length(claim, evidence, needed),
        lambda: _same_tasks(claim, evidence),
        lambda: _seeds(claim, evidence, rules, needed) or _values(claim, evidence, rules, measured),
        lambda: _generator(claim, evidence, rules),
    ]
    return [problem for check in checks for problem in check()]


def _length(claim: Claim, evidence: Evidence, needed: Least) -> list[str]:
    found = []
    lengths = {name: evidence.meta_steps[name] for name in claim.variants}
    steps = min(lengths.values())
    if steps * evidence.meta_batch < needed.length:
        tasks = f"{steps:,} meta-steps of {evidence.meta_batch} tasks are {steps * evidence.meta_batch:,} tasks"
        found.append(f"too short: {tasks}, expected at least {needed.length:,}")
    if unequal(claim, evidence):
        found.append(f"variants of unequal length: {each(lengths)} meta-steps")
    if claim.constant and evidence.schedule != "constant":
        found.append(f"the learning rate is not constant: schedule is {evidence.schedule}")
    return found


def _same_tasks(claim: Claim, evidence: Evidence) -> list[str]:
    tasks = {name: evidence.tasks[name] for name in claim.variants if name in evidence.tasks}
    return [f"variants tested on different tasks: {each(tasks)} per seed"] if len(set(tasks.values())) > 1 else []


def _seeds(claim: Claim, evidence: Evidence, rules: Claims, needed: Least) -> list[str]:
    planned = evidence.common(claim.variants)
    if len(planned) < needed.seeds:
        return [f"too few seeds: {len(planned)} planned for all variants, expected at least {needed.seeds}"]
    whole = [seed for seed in planned if not any(seed in evidence.lost(name) for name in claim.variants)]
    enough = math.ceil(rules.finished * len(planned))
    if not claim.paired or len(whole) >= enough:
        return []
    words = f"{len(planned) - len(whole)} of {len(planned)} seeds lost, expected at least {enough} left"
    return [words + lost(claim, evidence)]


def _values(claim: Claim, evidence: Evidence, rules: Claims, measured: Measured | None) -> list[str]:
    """Whether each part that decides has a value of enough seeds."""
    if claim.snapshots and not len(evidence.snapshots):
        return ["no snapshots of training: train.snapshots is empty"]
    if measured is None:
        return []
    enough = math.ceil(rules.finished * len(evidence.common(claim.variants)))
    parts = [part for part in leaves(measured.node) if claim.snapshots or part.given is None]
    counts = {
        part.text: min(len(part.values), len(part.values if part.others is None else part.others)) for part in parts
    }
    fewest, count = min(counts.items(), key=lambda item: item[1])
    return [f"too few seeds with a value: {count}, expected at least {enough} ({fewest})"] if count < enough else []


def _generator(claim: Claim, evidence: Evidence, rules: Claims) -> list[str]:
    """Whether a generator learnt: the most realistic variant is more realistic than an untrained generator.

    Compared by the mean logarithm of KID over seeds, as in the rules: a mean of KID is that of its largest value.
    """
    if not claim.realism:
        return []
    means = np.exp(measures.log_kid(evidence.kid.reindex(columns=[*claim.realism, UNTRAINED]), rules).mean())
    if np.isnan(means[UNTRAINED]):
        return [f"no untrained generator to compare with: {UNTRAINED} is absent"]
    best = means[list(claim.realism)].min()
    if best < means[UNTRAINED]:
        return []
    return [f"no generator learnt: lowest KID {best:.3g}, of an untrained generator {means[UNTRAINED]:.3g}"]


def _of_gan(evidence: Evidence, rules: Claims, needed: Least) -> list[str]:
    # A diverged GAN stopped early and has no KID, so the length is taken from the others.
    whole = evidence.gan.loc[evidence.gan["kid"].notna()]
    updates, seeds = int(whole["updates"].min()) if len(whole) else 0, whole["seed"].nunique()
    found = []
    if updates < needed.length:
        found.append(f"too short: {updates:,} updates, expected at least {needed.length:,}")
    if seeds < needed.seeds:
        found.append(f"too few seeds: {seeds}, expected at least {needed.seeds}")
    kid = measures.plain_gan_kid(evidence)
    many = kid[[images for images in kid.columns if images >= BOUNDARY]].stack()
    if many.empty:
        found.append(f"no GAN on {BOUNDARY} images or more")
    elif not many.median() < rules.gan_learnt:
        found.append(
            f"learnt nothing: KID {many.median():.3g} at K >= {BOUNDARY}, expected less than {rules.gan_learnt:g}"
        )
    return found


def each(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in numbers.items())


def lost(claim: Claim, evidence: Evidence) -> str:
    """How many seeds diverged and how many learnt nothing, or ""."""
    found = ""
    for what, seeds in (("diverged seeds", evidence.diverged), ("seeds that learnt nothing", evidence.failed)):
        counts = {name: len(seeds[name]) for name in claim.variants if seeds.get(name)}
        found += f"; {what}: {each(counts)}" if counts else ""
    return found
