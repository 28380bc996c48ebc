"""Blocks about the claims: the answer, the pair, verdicts, controls, spreads."""

from megan.report.claims.decide import shown
from megan.report.page.wording import half, percent, points
from megan.report.statistics import seed_interval
from tools.findings.records import PAIR, Record, by_seed, main_record, of_the_pair, of_the_paper, table_of


def answer(found: list[Record]) -> list[str]:
    """The accuracies of the pair, their difference and the verdicts on claims 1 and 2, in sentences."""
    record = main_record(found)
    table, claims = record.table("tables/accuracy"), record.table("claims/claims")
    compared = record.table("tables/comparisons")
    assert table is not None and claims is not None and compared is not None
    rows, difference = table.set_index("variant").loc[list(PAIR)], compared.set_index("variant").loc[PAIR[1]]
    maml, own = (f"{percent(row.accuracy)} ({half(row.ci95_seeds, 1)})" for row in rows.itertuples())
    verdicts = claims.set_index(claims["claim"].astype(str))["verdict"]
    counts = ", ".join(f"{number} {verdict}" for verdict, number in claims["verdict"].value_counts().items())
    state = "a provisional record" if record.manifest.get("provisional") else "the record"
    return [
        f"N+1 reaches {own} and MAML {maml} on meta-test tasks of real Omniglot ({record.page}, {state};"
        f" {rows['seeds'].iloc[0]} seeds, {rows['meta_steps'].iloc[0]:,} meta-steps): a difference of"
        f" {points(difference['difference'])} points (95 % interval over seeds {half(difference['ci95_seeds'])}).",
        "",
        f"The paper's claim 1, N+1 beats MAML slightly: **{verdicts['1']}**. Claim 2, N+1 converges faster:"
        f" **{verdicts['2']}**{', since MAML does' if verdicts['2'] == 'opposite' else ''}."
        f" All verdicts of this record: {counts}.",
    ]


def figure(found: list[Record]) -> list[str]:
    return [f"![Validation accuracy during meta-training]({main_record(found).here}/figures/outer_losses.png)"]


def pair(found: list[Record]) -> list[str]:
    """MAML and N+1 in each record, paired by seed and task."""
    rows = []
    for record in of_the_paper(found):
        table, compared, claims = (
            record.table(f"{name}") for name in ("tables/accuracy", "tables/comparisons", "claims/claims")
        )
        if table is None or compared is None or claims is None or not set(PAIR) <= set(table["variant"]):
            continue
        table, row = table.set_index("variant"), compared.set_index("variant").loc[PAIR[1]]
        first = claims[claims["claim"].astype(str) == "1"].iloc[0]
        cells = [f"{percent(table.loc[name, 'accuracy'])} {half(table.loc[name, 'ci95_seeds'], 1)}" for name in PAIR]
        difference = f"{points(row['difference'])} {half(row['ci95_seeds'])}"
        rows.append([record.run(PAIR[1]), f"{int(row['seeds'])}", *cells, difference, first["verdict"]])
    return table_of(["run", "seeds", "MAML", "N+1", "difference, points", "claim 1"], rows)


def claims(found: list[Record]) -> list[str]:
    return _claims(found, own=False)


def questions(found: list[Record]) -> list[str]:
    return _claims(found, own=True)


def _claims(found: list[Record], own: bool) -> list[str]:
    """Verdict, effect, interval and smallest detectable effect: from the main record, and in brackets the rest."""
    record = main_record(found)
    table = record.table("claims/claims")
    assert table is not None
    chosen = table[table["claim"].astype(str).str.startswith("Q") == own]
    rows = []
    for row in chosen[chosen["effect"].notna()].to_dict("records"):
        unit = str(row["unit"])
        low, high, effect, least = (shown(row[key], unit) for key in ("ci95_low", "ci95_high", "effect", "detectable"))
        source = f" ({row['source']})" if isinstance(row["source"], str) else ""
        interval = f"{low} to {high}" if low != "none" else ""
        rows.append([row["claim"], f"{row['text']}{source}", f"**{row['verdict']}**", effect, interval, least])
    words = table_of(["", "what it says", "verdict", "effect", "95 % interval", "smallest that could be seen"], rows)
    rest = chosen[chosen["effect"].isna()]
    kinds = {kind: ", ".join(group["claim"].astype(str)) for kind, group in rest.groupby("verdict")}
    told = "; ".join(f"{kind}: {numbers}" for kind, numbers in kinds.items())
    return [*words, *([""] if words and told else []), *([f"Not measured in {record.page}: {told}."] if told else [])]


def controls(found: list[Record]) -> list[str]:
    """Controls and ablations beside MAML, by their difference."""
    rows = []
    for record in of_the_paper(found):
        compared = record.table("tables/comparisons")
        if compared is None or not len(compared):
            continue
        alike = compared[compared["meta_steps"] == compared["reference_meta_steps"]]
        for row in alike.sort_values("difference", ascending=False).itertuples():
            rows.append(
                [row.label, f"{points(row.difference)} {half(row.ci95_seeds)}", row.seeds, record.run(row.variant)]
            )
    return table_of(["variant", "difference to MAML, points", "seeds", "run"], rows)


def noise(found: list[Record]) -> list[str]:
    """The difference of the pair beside the spread of single seeds, in points."""
    rows = []
    for record, table in of_the_pair(found, "tables/seeds"):
        wide, difference = by_seed(table)
        spreads = [f"{100 * wide[name].std():.2f}" for name in PAIR]
        ahead = f"{int((difference > 0).sum())} of {len(difference)}"
        rows.append([record.page, points(difference.mean()), *spreads, f"{100 * difference.std():.2f}", ahead])
    head = ["study", "difference", "one seed of MAML", "one seed of N+1", "the difference of one seed", "seeds ahead"]
    return table_of(head, rows)


def over_training(found: list[Record]) -> list[str]:
    """The pair at the meta-steps whose weights were kept, on meta-test tasks."""
    rows = []
    for record, table in of_the_pair(found, "tables/snapshots"):
        for step, at in table.groupby("meta_step"):
            wide, difference = by_seed(at)
            told = f"{points(difference.mean())} {half(seed_interval(difference.tolist()))}"
            rows.append([record.page, f"{step:,}", *(percent(wide[name].mean()) for name in PAIR), told])
    return table_of(["study", "meta-steps", "MAML", "N+1", "difference, points"], rows)
