"""The report page: settings of the runs, verdicts and all figures.

The HTML file contains the figures, so it can be sent as one file.
"""

import base64
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from megan.config import paths
from megan.config.params import Params
from megan.report import figures
from megan.report.claims.decide import TESTS, VERDICTS, shown
from megan.report.claims.measures import FACTOR
from megan.report.inputs import COMMAND, ReportError, broken, read_json, read_table

TEMPLATE = "page.html"


def render(params: Params) -> str:
    """The page as HTML. All text from tables and parameters is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    study, tables = params.current, paths.tables(params.study)
    rows = _variants(params, tables)
    title = read_table(tables / "accuracy.csv", ["dataset"])["dataset"].iloc[0]
    claims = read_table(
        paths.claims(params.study) / "claims.csv",
        ["claim", "family", "text", "verdict", "reason", "effect", "unit", "seeds"],
    )
    tiers = _tiers(params)
    return environment.get_template(TEMPLATE).render(
        study=params.study, title=title, data=study.data, network=study.network,
        tasks=study.tasks, inner=study.inner, train=study.train, gan=study.gan,
        rules=params.claims, tiers=tiers, short=[tier["name"] for tier in tiers if tier["short"]],
        variants=rows, headline=[row for row in rows if row["tier"] == "headline"],
        families=_families(claims), verdicts=_verdicts(claims),
        figures=[_figure(params.study, name) for name in figures.FIGURES],
        diverged=_diverged(params, tables),
    )  # fmt: skip


def _tiers(params: Params) -> list[dict[str, Any]]:
    used: Counter[str] = Counter(variant.tier for variant in params.variants.values())
    tiers = [(name, tier) for name, tier in params.current.tiers.named.items() if used[name]]
    return [
        {
            "name": name,
            "variants": used[name],
            **tier.model_dump(),
            "short": tier.meta_steps * params.current.train.meta_batch < params.claims.shortest,
        }
        for name, tier in tiers
    ]


def _variants(params: Params, tables: Path) -> list[dict[str, Any]]:
    columns = [
        "variant",
        "label",
        "tier",
        "seeds",
        "diverged",
        "accuracy",
        "ci95_seeds",
        "ci95_tasks",
        "meta_steps",
        "short",
    ]
    table = read_table(tables / "accuracy.csv", columns)
    differences = read_table(
        tables / "comparisons.csv", ["variant", "difference", "ci95_seeds", "meta_steps", "reference_meta_steps"]
    )
    differences = differences[differences["meta_steps"] == differences["reference_meta_steps"]].set_index("variant")
    rows = []
    for row in table[table["variant"].isin(list(params.variants))].itertuples():
        own = differences.loc[row.variant] if row.variant in differences.index else None
        rows.append(
            {
                "label": row.label,
                "tier": row.tier,
                "accuracy": _percent(row.accuracy) if row.seeds else "every seed diverged",
                "over_seeds": _percent(row.ci95_seeds, "+/- "),
                "over_tasks": _percent(row.ci95_tasks, "+/- "),
                "difference": ""
                if own is None or pd.isna(own["difference"])
                else f"{100 * own['difference']:+.2f}{_points(own['ci95_seeds'])}",
                "seeds": row.seeds,
                "diverged": row.diverged,
                "meta_steps": f"{row.meta_steps:,}{' (short)' if row.short else ''}",
            }
        )
    return rows


def _claim(row: dict[str, Any]) -> dict[str, Any]:
    """One row of the table of claims, as text. A cell without a number is empty."""
    unit = row["unit"] if isinstance(row["unit"], str) else ""
    effect = "" if pd.isna(row["effect"]) else shown(row["effect"], unit)
    if effect and not pd.isna(row["ci95_low"]):
        effect += f" ({shown(row['ci95_low'], unit)} to {shown(row['ci95_high'], unit)})"
    effect += f" {unit}" if effect and not unit.startswith("accuracy") and unit != FACTOR else ""
    p = row[f"{TESTS.get(row['verdict'], 'p')}_holm"]
    texts = {
        "effect": effect,
        "detectable": "" if pd.isna(row["detectable"]) else shown(row["detectable"], unit),
        "p": "" if pd.isna(p) else f"{p:.2g}",
        "seeds": "" if pd.isna(row["seeds"]) else int(row["seeds"]),
        "meta_steps": "" if pd.isna(row["meta_steps"]) else f"{int(row['meta_steps']):,}",
    }
    return {**row, "source": "" if pd.isna(row["source"]) else row["source"], **texts}


def _families(claims: pd.DataFrame) -> list[tuple[str, list[dict[str, Any]]]]:
    """Each family of claims with its rows."""
    return [
        (str(family), [_claim(row) for row in rows.to_dict("records")])
        for family, rows in claims.groupby("family", sort=False)
    ]


def _verdicts(claims: pd.DataFrame) -> list[tuple[str, int]]:
    return [(verdict, int((claims["verdict"] == verdict).sum())) for verdict in VERDICTS]


def _figure(study: str, name: str) -> dict[str, str]:
    """The figure as a data URL, with its title, caption and alternative text."""
    path = paths.figures(study) / f"{name}.svg"
    words = read_json(path.with_suffix(".json"), ["title", "caption", "alt"])
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ReportError(f"{path} is missing; run `{COMMAND}` to make it") from None
    if not content.rstrip().endswith(b"</svg>"):
        raise broken(path, "is incomplete: its end is missing")
    return {"name": name, "data": "data:image/svg+xml;base64," + base64.b64encode(content).decode(), **words}


def _diverged(params: Params, tables: Path) -> list[dict[str, Any]]:
    table = read_table(tables / "diverged.csv", ["variant", "label", "seed", "meta_step", "loss"])
    table = table[table["variant"].isin(list(params.variants))]
    return [
        {**row, "meta_step": f"{row['meta_step']:,}", "loss": "" if pd.isna(row["loss"]) else f"{row['loss']:.3g}"}
        for row in table.to_dict("records")
    ]


def _percent(value: float, before: str = "") -> str:
    return "" if pd.isna(value) else f"{before}{value:.2%}"


def _points(half: float) -> str:
    return "" if pd.isna(half) else f" +/- {100 * half:.2f}"
