"""Blocks about why: controls and ablations beside MAML and N+1, and what their fakes are."""

import pandas as pd

from megan.report.page.wording import percent
from tools.findings.records import PAIR, Record, main_record, mean_kid, of_the_paper, over_seeds, table_of


def controls(found: list[Record]) -> list[str]:
    """The variants as long as the pair: less MAML, and N+1 less the variant, each on the seeds that both have."""
    rows = []
    for record in of_the_paper(found):
        table, about = record.table("tables/seeds"), record.table("tables/accuracy")
        if table is None or about is None or not set(PAIR) <= set(table["variant"]):
            continue
        about = about.set_index("variant")
        wide = table.pivot(index="seed", columns="variant", values="accuracy")
        alike = about[(about["meta_steps"] == about["meta_steps"][PAIR[0]]) & (about.index != PAIR[0])]
        gains = {name: (wide[name] - wide[PAIR[0]]).dropna() for name in alike.index}
        common = pd.concat(list(gains.values()), axis=1).dropna().index  # seeds that all of them have
        for name in sorted(gains, key=lambda one: -gains[one].mean()):
            own = "" if name == PAIR[1] else over_seeds(wide[PAIR[1]] - wide[name])
            rows.append([alike["label"][name], over_seeds(gains[name]), own, len(gains[name]), record.run(name)])
            if name == PAIR[1] and len(common) < len(gains[name]):
                label = f"the same, seeds of the controls only ({common.min()} to {common.max()})"
                rows.append([label, over_seeds(gains[name][common]), "", len(common), record.run(name)])
    return table_of(["variant", "variant - MAML, points", "N+1 - variant, points", "seeds", "run"], rows)


def fakes(found: list[Record]) -> list[str]:
    """What the fakes of each variant are, and how the classifier adapts; means over seeds."""
    record = main_record(found)
    steps, realism, about = (record.table(name) for name in ("tables/steps", "samples/realism", "tables/accuracy"))
    if steps is None or realism is None or about is None:
        return table_of([], [])
    about = about[about["meta_steps"] == about["meta_steps"].max()]
    adapting = steps.groupby(["variant", "inner_step"])[["accuracy", "p_fake_of_fakes"]].mean()
    last = steps["inner_step"].max()
    kids = mean_kid(record, realism)
    copies = realism.groupby("variant")["distance"].mean()
    rows = []
    for name, label in zip(about["variant"], about["label"], strict=True):
        own = adapting.loc[name]
        measured = [f"{kids[name]:.2f}", f"{copies[name]:.2f}"] if name in kids else ["", ""]
        believed = percent(own["p_fake_of_fakes"][last], 0)
        rows.append([label, *measured, believed, *(percent(own["accuracy"][step]) for step in (1, last))])
    if "real" in kids:
        rows.append(["real images", f"{kids['real']:.2f}", f"{copies['real']:.2f}", "", "", ""])
    adapted = ["called fake after adaptation", "accuracy after inner step 1", f"after {last}"]
    return table_of(["variant", "KID", "distance", *adapted], rows)
