"""Blocks about how firm the verdicts are: would more seeds, other fakes or other variants change them?"""

import numpy as np
import pandas as pd

from megan.report.claims import power
from megan.report.claims.decide import UNDECIDED, shown
from tools.findings.records import Record, main_record, over_seeds, table_of

USES_OF_FAKES = ("n_plus_1", "n_plus_1_weighted", "n_plus_1_equal")  # the last uses its fakes as multi-task does
SURVEY = ("maml_short", *(f"multi_task_{shared}" for shared in range(5)))


def more_seeds(found: list[Record]) -> list[str]:
    """Seeds that would decide the undecided claims if their effects were as measured; by the part that decides."""
    record = main_record(found)
    rules, claims = record.rules, record.decided["claims"]
    rows = []
    for claim in (one for one in claims if one["verdict"] == UNDECIDED):
        part = next(one for one in claim["parts"] if one["text"] == claim["part"])
        values = np.array(part["by_seed"], dtype=float)
        if claim["detectable"] is None or not np.isclose(values.mean(), part["effect"], rtol=1e-3):
            continue  # not a t test of one value for each seed
        distance = part["effect"] - part["threshold"]
        tests = sum(one["family"] == claim["family"] for one in claims)  # the first step of Holm's method
        if distance < 0:
            tests *= claim["p_opposite"] / part["p_opposite"]  # one part of several is enough
        seeds = power.seeds_for(abs(distance), values.std(ddof=1), rules["level"] / tests, rules["power"])
        told = [shown(part["effect"], part["unit"]), part["seeds"], seeds or "more than 2,000"]
        rows.append([claim["claim"], part["text"].replace("%", " %"), *told])
    return table_of(["claim", "part that decides", "effect", "seeds now", "seeds for a verdict"], rows)


def fakes_of_multi_task(found: list[Record]) -> list[str]:
    """N+1 after as many meta-steps as the survey has, less each variant of `SURVEY`; on the seeds that both have."""
    record = main_record(found)
    on_the_way, finished = record.table("tables/snapshots"), record.table("tables/seeds")
    about = record.table("tables/accuracy")
    if on_the_way is None or finished is None or about is None or not set(USES_OF_FAKES) <= set(on_the_way["variant"]):
        return table_of([], [])
    about = about.set_index("variant")
    others = [name for name in SURVEY if name in about.index]
    length = about["meta_steps"][others].max()
    early = on_the_way[(on_the_way["meta_step"] == length) & on_the_way["variant"].isin(USES_OF_FAKES)]
    both = pd.concat([early, finished[finished["variant"].isin(others)]])
    wide = both.pivot(index="seed", columns="variant", values="accuracy")
    rows = [
        [about["label"][name], *(over_seeds(wide[name] - wide[other]) for other in others)] for name in USES_OF_FAKES
    ]
    return table_of([f"after {length} meta-steps", *(f"less {about['label'][other]}" for other in others)], rows)


def without_pairs(found: list[Record]) -> list[str]:
    """The effect of claim 14 over all its matched variants, and without each pair of them."""
    rows = []
    for part in main_record(found).claim("14")["parts"]:
        effect, *bounds = (shown(part[key], part["unit"]) for key in ("effect", "ci95_low", "ci95_high"))
        interval = " to ".join(bound.removesuffix(" points") for bound in bounds)
        rows.append([part["text"].partition(", without ")[2] or "none (the claim)", effect, interval, part["seeds"]])
    return table_of(["left out", "effect", "95 % interval", "seeds"], rows)
