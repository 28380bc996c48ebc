"""The chart of curves, drawn in the browser by Vega-Lite: its data, its specification and the library.

The library is the one that Snakemake ships for its own reports, so it needs no network and no
further package. It is stored compressed, which makes the page 1.3 MB smaller.
"""

import base64
import gzip
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from megan.config import paths
from megan.config.params import Params
from megan.report.inputs import ReportError, read_table
from megan.report.page.variants import Variant

LIBRARIES = ("vega", "vega-lite")  # in the order of their dependencies
# Of the licences that Snakemake ships, those of packages that are in neither library.
OTHERS = {
    "fast-json-patch", "heroicons", "prop-types", "pygments", "react", "semver", "snakemake", "tailwindcss",
    "vega-embed", "vega-schema-url-parser", "vega-themes", "vega-tooltip",
}  # fmt: skip
DIGITS = 5
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [4, 1])  # so that variants of like colour differ


@dataclass(frozen=True)
class Library:
    """JavaScript compressed with gzip, in base64, and the licences it comes with: names of packages, and their text."""

    source: str
    licences: list[tuple[str, str]]


def library() -> Library:
    """Raises `ReportError` if the installed Snakemake does not have the files."""
    spec = find_spec("snakemake")
    folders = [Path(place) / "assets" / "data" for place in (spec.submodule_search_locations or ())] if spec else []
    scripts: list[bytes] = []
    licences: dict[str, list[str]] = {}
    for name in LIBRARIES:
        folder = next((place / name for place in folders if (place / name / f"{name}.js").is_file()), None)
        if folder is None:
            raise ReportError(
                f"the installed snakemake does not ship {name}/{name}.js, which the page's chart needs;"
                " install the versions of constraints.txt"
            )
        scripts.append((folder / f"{name}.js").read_bytes())
        licences |= _licences(folder.parent)
    packed = gzip.compress(b"\n".join(scripts), compresslevel=9, mtime=0)  # the same bytes in every run
    return Library(base64.b64encode(packed).decode(), [(", ".join(names), text) for text, names in licences.items()])


def _licences(assets: Path) -> dict[str, list[str]]:
    """Text of each licence, with the packages that have it: of the libraries, and of what is built into them."""
    found: dict[str, list[str]] = {}
    for path in sorted(assets.glob("*/LICENSE*"), key=lambda path: (path.parent.name not in LIBRARIES, path)):
        if path.parent.name not in OTHERS:
            found.setdefault(path.read_text(encoding="utf-8").strip(), []).append(path.parent.name)
    return found


def data(params: Params, variants: list[Variant]) -> dict[str, Any]:
    """Means with the lowest and highest seed, by kind of curve.

    **Returns** `{"validation" | "training" | "adaptation" | "kept": [{v, x, y, low, high, n}]}` with the variant's
    name `v`, its meta-step or inner step `x`, accuracies from 0 to 1, and the number of seeds `n`.
    """
    tables = paths.tables(params.study)
    curves = read_table(tables / "curves.csv", ["variant", "seed", "meta_step", "split", "accuracy"])
    steps = read_table(tables / "steps.csv", ["variant", "seed", "inner_step", "accuracy"])
    lost = read_table(tables / "diverged.csv", ["variant", "seed"])
    gone = set(zip(lost["variant"], lost["seed"], strict=True))
    runs = zip(curves["variant"], curves["seed"], strict=True)
    kept = pd.Series([run not in gone for run in runs], index=curves.index, dtype=bool)
    names = [variant.name for variant in variants]
    curves = curves[kept]
    snapshots = read_table(tables / "snapshots.csv", ["variant", "seed", "meta_step", "accuracy"])
    return {
        "validation": _means(curves[curves["split"] == "validation"], "meta_step", names),
        "training": _means(curves[curves["split"] == "train"], "meta_step", names),
        "adaptation": _means(steps, "inner_step", names),
        "kept": _means(snapshots, "meta_step", names),
    }


def dashes(variants: list[Variant]) -> dict[str, list[int]]:
    return {variant.name: DASHES[position % len(DASHES)] for position, variant in enumerate(variants)}


def specification(variants: list[Variant]) -> dict[str, Any]:
    """Vega-Lite: lines with a band from the lowest to the highest seed, and the point nearest to the pointer."""
    names, chosen = [variant.name for variant in variants], dashes(variants)
    colour = {
        "field": "v", "type": "nominal", "legend": None,
        "scale": {"domain": names, "range": [variant.colour for variant in variants]},
    }  # fmt: skip
    x = {
        "field": "x",
        "type": "quantitative",
        "axis": {
            "title": "meta-steps",
            "tickMinStep": 1,
            "tickCount": 8,
            "labelOverlap": "greedy",
            "labelSeparation": 8,
        },
    }
    percent = {"format": "~%", "title": "accuracy", "tickCount": 6}
    y = {"field": "y", "type": "quantitative", "scale": {"zero": False, "nice": True}, "axis": percent}
    tooltip = [
        {"field": "label", "title": "variant"}, {"field": "x", "title": "step"},
        {"field": "y", "title": "mean", "format": ".2%"}, {"field": "low", "title": "lowest seed", "format": ".2%"},
        {"field": "high", "title": "highest seed", "format": ".2%"}, {"field": "n", "title": "seeds"},
    ]  # fmt: skip
    hover = {"name": "hover", "select": {"type": "point", "nearest": True, "on": "pointerover", "clear": "pointerout"}}
    dash = {"field": "v", "type": "nominal", "legend": None,
            "scale": {"domain": names, "range": [chosen[name] for name in names]}}  # fmt: skip
    return {
        "width": "container", "height": 340, "autosize": {"type": "fit", "contains": "padding"},
        "data": {"name": "curves"},
        "encoding": {"x": x, "color": colour},
        "layer": [
            {"mark": {"type": "area", "opacity": 0.13},
             "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}}},
            {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"y": y, "strokeDash": dash}},
            {"mark": {"type": "point", "filled": True, "size": 70}, "params": [hover],
             "encoding": {"y": y, "tooltip": tooltip, "opacity": {
                 "condition": {"param": "hover", "empty": False, "value": 1}, "value": 0}}},
        ],
    }  # fmt: skip


def _means(rows: pd.DataFrame, x: str, names: list[str]) -> list[dict[str, Any]]:
    rows = rows[rows["variant"].isin(names)].dropna(subset=["accuracy"])
    grouped = rows.groupby(["variant", x])["accuracy"].agg(["mean", "min", "max", "count"]).round(DIGITS)
    return [
        {"v": name, "x": int(step), "y": mean, "low": low, "high": high, "n": int(seeds)}
        for (name, step), (mean, low, high, seeds) in zip(grouped.index, grouped.to_numpy().tolist(), strict=True)
    ]
