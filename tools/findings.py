"""Writes the numbers of docs/findings.md and README.md from the records: `python -m tools.findings`.

A number stands between `<!-- findings NAME -->` and `<!-- end findings NAME -->`, and comes from a record's tables.
`BLOCKS` names what can stand there. `tests/report/test_findings.py` compares both files with the records.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from megan.config import paths
from megan.report import paper_table
from megan.report.claims.decide import shown
from megan.report.inputs import read_table
from megan.report.page.wording import half, percent, points
from megan.report.statistics import seed_interval

ROOT = Path(__file__).parents[1]
FILES = ("docs/findings.md", "README.md")
ORDER = ("text", "code", "anchor", "search")  # of studies in tables; then any other
PILOT = "omniglot_2500"  # shown as the answer until there is a record of study `text`
PAIR = ("maml", "n_plus_1")
# MAML on Omniglot, 5 ways and 1 shot, with its 95 % interval over tasks: Finn et al. 2017, Table 1. By their code, this
# was measured with one query a class.
PUBLISHED, PUBLISHED_ERROR, PUBLISHED_QUERIES = 0.987, 0.004, 1
MARK = re.compile(r"(<!-- findings (\w+) -->\n).*?(<!-- end findings \2 -->)", re.DOTALL)


@dataclass(frozen=True)
class Record:
    """A committed record. `here`: the way to its folder from the file that is written."""

    folder: Path
    here: str
    manifest: dict[str, Any]

    @property
    def study(self) -> str:
        return str(self.manifest["study"])

    @property
    def page(self) -> str:
        return f"[{self.study}]({self.here})"

    @property
    def meta_batch(self) -> int:
        """Tasks of a meta-step."""
        return int(self._settings()["train"]["meta_batch"])

    @property
    def dataset(self) -> str:
        return str(self._settings()["data"]["dataset"])

    def _settings(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "params.yaml").read_text(encoding="utf-8"))["studies"][self.study]

    def table(self, name: str) -> pd.DataFrame | None:
        """A table by its name in the record, as `tables/seeds`; None if the record has none."""
        path = self.folder / f"{name}.csv"
        return read_table(path, []) if path.is_file() else None

    def run(self, variant: str) -> str:
        """A link to the record of a variant's training."""
        return f"[{self.study}, train/{variant}]({self.here}/train/{variant}/record.json)"


def records(file: str) -> list[Record]:
    """All records, in the order of tables. `file`: the one whose links are relative to it."""
    up = "../" * file.count("/")
    found = []
    for path in (ROOT / paths.RECORD).glob("*/MANIFEST.json"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found.append(Record(path.parent, f"{up}{paths.RECORD.as_posix()}/{path.parent.name}", manifest))
    return sorted(found, key=lambda one: (ORDER.index(one.study) if one.study in ORDER else len(ORDER), one.study))


def main_record(found: list[Record]) -> Record:
    """The record that decides the claims: that of study `text`, or the pilot until there is one."""
    return next(one for name in (ORDER[0], PILOT) for one in found if one.study == name and _has_claims(one))


def _has_claims(record: Record) -> bool:
    return record.table("claims/claims") is not None


def of_the_paper(found: list[Record]) -> list[Record]:
    """Records of the data set that decides the claims."""
    return [record for record in found if record.dataset == main_record(found).dataset]


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


def studies(found: list[Record]) -> list[str]:
    rows = []
    for record in found:
        left = record.manifest.get("not_run", [])
        state = f"provisional, {len(left)} left" if record.manifest.get("provisional") else "complete"
        trained = len(list(record.folder.glob("train/*/record.json")))
        rows.append([record.page, state, trained, _hours(record), f"`{record.manifest.get('commit', '')[:10]}`"])
    return _table(["study", "state", "variants trained", "hours of two cores", "commit"], rows)


def cost(found: list[Record]) -> list[str]:
    rows = [[record.page, part, hours] for record in found for part, hours in _parts(record).items()]
    return _table(["study", "part", "hours of two cores"], rows)


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
    return _table(["run", "seeds", "MAML", "N+1", "difference, points", "claim 1"], rows)


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
    words = _table(["", "what it says", "verdict", "effect", "95 % interval", "smallest that could be seen"], rows)
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
    return _table(["variant", "difference to MAML, points", "seeds", "run"], rows)


def noise(found: list[Record]) -> list[str]:
    """The difference of the pair beside the spread of single seeds, in points."""
    rows = []
    for record, table in _of_the_pair(found, "tables/seeds"):
        wide, difference = _by_seed(table)
        spreads = [f"{100 * wide[name].std():.2f}" for name in PAIR]
        ahead = f"{int((difference > 0).sum())} of {len(difference)}"
        rows.append([record.page, points(difference.mean()), *spreads, f"{100 * difference.std():.2f}", ahead])
    head = ["study", "difference", "one seed of MAML", "one seed of N+1", "the difference of one seed", "seeds ahead"]
    return _table(head, rows)


def over_training(found: list[Record]) -> list[str]:
    """The pair at the meta-steps whose weights were kept, on meta-test tasks."""
    rows = []
    for record, table in _of_the_pair(found, "tables/snapshots"):
        for step, at in table.groupby("meta_step"):
            wide, difference = _by_seed(at)
            told = f"{points(difference.mean())} {half(seed_interval(difference.tolist()))}"
            rows.append([record.page, f"{step:,}", *(percent(wide[name].mean()) for name in PAIR), told])
    return _table(["study", "meta-steps", "MAML", "N+1", "difference, points"], rows)


def paper(found: list[Record]) -> list[str]:
    """The paper's numbers, ours, and whether the paper's run could be one of our seeds; by study and curve."""
    return _beside_paper(of_the_paper(found), lambda row: bool(row["last"]))


def figure_10(found: list[Record]) -> list[str]:
    """Every point of the paper's curve of MAML in Fig. 10, beside ours in the settings of the authors' code."""
    alike = [record for record in found if record.study == "code"]
    return _beside_paper(alike, lambda row: str(row["figure"]) == "10" and row["curve"] == "MAML")


def _beside_paper(found: list[Record], chosen: Callable[[dict[str, Any]], bool]) -> list[str]:
    """The rows of each record's `paper_table` that are `chosen` and have a number of ours."""
    rows = []
    for record in found:
        accuracy = record.table("tables/accuracy")
        if accuracy is None:
            continue
        labels = dict(zip(accuracy["variant"], accuracy["label"], strict=True))
        table = paper_table.build(record.study, labels, record.folder / "tables", record.meta_batch)
        for row in filter(chosen, table[table["ours"].notna()].to_dict("records")):
            ours = f"{percent(row['ours'])} after {row['our_meta_step']:,} ({row['split']})"
            spread = f"{100 * row['lowest_seed']:.1f} to {percent(row['highest_seed'])}; {half(row['spread'], 1)}"
            rows.append(
                [
                    f"Fig. {row['figure']}, {row['curve']}",
                    f"{percent(row['paper'])} after {row['meta_step']:,}",
                    ours, points(row["difference"], 1), spread, row["inside"] or "one seed", record.run(row["variant"]),
                ]
            )  # fmt: skip
    head = ["curve", "paper", "ours", "difference, points", "our seeds; one further seed", "inside", "run"]
    return _table(head, rows)


def other_data(found: list[Record]) -> list[str]:
    """Every variant of the records of other data sets. The error is over tasks: these runs may have one seed."""
    rows = []
    for record in found:
        table = record.table("tables/accuracy")
        if table is None or record in of_the_paper(found):
            continue
        for row in table.itertuples():
            accuracy = f"{percent(row.accuracy)} {half(row.ci95_tasks, 1)}"
            rows.append([row.dataset, row.label, f"{row.meta_steps:,}", row.seeds, accuracy, record.run(row.variant)])
    head = ["data set", "variant", "meta-steps", "seeds", "accuracy, 95 % over tasks", "run"]
    return _table(head, rows)


def anchor(found: list[Record]) -> list[str]:
    """Our MAML by the number of queries a class, at the settings of Finn et al., beside what they published."""
    rows = []
    for record in (one for one in found if one.study == "anchor"):
        table = record.table("test/maml/queries")
        for row in [] if table is None else table.sort_values("queries").itertuples():
            ours = f"{percent(row.accuracy, 2)} {half(1.96 * row.standard_error, 2)}"
            theirs, inside = "", ""
            if row.queries == PUBLISHED_QUERIES:
                theirs = f"{percent(PUBLISHED)} {half(PUBLISHED_ERROR, 1)}"
                inside = "yes" if abs(row.accuracy - PUBLISHED) <= PUBLISHED_ERROR else "no"
            rows.append([row.queries, ours, theirs, inside, row.seed, record.run("maml")])
    return _table(["queries a class", "accuracy, 95 % over tasks", "published", "inside", "seed", "run"], rows)


ALL = (
    answer,
    figure,
    studies,
    cost,
    pair,
    claims,
    questions,
    controls,
    noise,
    over_training,
    paper,
    figure_10,
    anchor,
    other_data,
)
BLOCKS = {block.__name__: block for block in ALL}


def _of_the_pair(found: list[Record], name: str) -> Iterator[tuple[Record, pd.DataFrame]]:
    """The records of the paper's data set whose table `name` has both MAML and N+1, with that table."""
    for record in of_the_paper(found):
        table = record.table(name)
        if table is not None and set(PAIR) <= set(table["variant"]):
            yield record, table


def _by_seed(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Accuracy by seed and variant, and N+1 minus MAML for each seed that both have."""
    wide = table.pivot(index="seed", columns="variant", values="accuracy")
    return wide, (wide[PAIR[1]] - wide[PAIR[0]]).dropna()


def _table(head: list[str], rows: list[list[Any]]) -> list[str]:
    """A table of Markdown; a sentence if no record has a row of it."""
    if not rows:
        return ["No record has this yet."]
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "/").strip() for cell in line) + " |" for line in lines]


def _parts(record: Record) -> dict[str, str]:
    """Hours of two cores by kind of stage, from the provenance."""
    parts: dict[str, float] = {}
    for path in sorted((record.folder / "provenance").glob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        hours = told.get("wall_seconds", 0) * told.get("threads", 1) / 2 / 3600
        part = path.stem.partition("-")[0]
        parts[part] = parts.get(part, 0) + hours
    return {part: f"{hours:.2f}" for part, hours in parts.items()}


def _hours(record: Record) -> str:
    return f"{sum(map(float, _parts(record).values())):.1f}"


def written(file: str) -> str:
    """The file with its blocks written anew. Raises `KeyError` for a name that is not in `BLOCKS`."""
    found = records(file)
    text = (ROOT / file).read_text(encoding="utf-8")
    return MARK.sub(lambda mark: mark[1] + "\n".join(BLOCKS[mark[2]](found)) + "\n" + mark[3], text)


def main() -> None:
    for file in FILES:
        (ROOT / file).write_text(written(file), encoding="utf-8")


if __name__ == "__main__":
    main()
