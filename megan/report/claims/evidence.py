"""The data that decide the claims: tables, samples and the quality of the plain GAN, by seed and variant."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from megan.config import paths
from megan.config.params import Params
from megan.report.inputs import broken, read_table


@dataclass(frozen=True)
class Evidence:
    """All data by variant and seed. In every frame a diverged seed has NaN.

    `accuracy`, `kid`, `distance`: frames [seeds, variants], accuracy from 0 to 1.
    `curves[variant]`: frame [meta-steps, finished seeds] of validation accuracy.
    `critic`: columns variant, seed, task, kid, wasserstein. `gan`: columns images, class,
    seed, updates, kid. `planned`, `diverged`: seeds; `tasks`: meta-test tasks of one seed.
    """

    meta_steps: dict[str, int]
    planned: dict[str, tuple[int, ...]]
    diverged: dict[str, tuple[int, ...]]
    tasks: dict[str, int]
    accuracy: pd.DataFrame
    kid: pd.DataFrame
    distance: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    critic: pd.DataFrame
    gan: pd.DataFrame

    def finished(self, variants: tuple[str, ...]) -> list[int]:
        """Seeds that all `variants` finished."""
        seeds = [set(self.planned[name]) - set(self.diverged[name]) for name in variants]
        return sorted(set.intersection(*seeds)) if seeds else []


def read(params: Params) -> Evidence:
    """Read the data of the variants of `params`, and ignore all other rows.

    **Raises** `ReportError` if a file is missing, damaged, or lacks a variant.
    """
    tables, samples = paths.tables(params.study), paths.samples(params.study)
    names = list(params.variants)

    def of(path: Path, columns: list[str]) -> pd.DataFrame:
        table = read_table(path, ["variant", *columns])
        table = table[table["variant"].isin(names)]
        keys = ["variant", *(key for key in ("seed", "task", "meta_step", "split") if key in columns)]
        if table.duplicated(keys).any():
            raise broken(path, "has a repeated row")
        return table.sort_values(keys, ignore_index=True)

    lengths = of(tables / "accuracy.csv", ["meta_steps"]).set_index("variant")["meta_steps"]
    absent = [name for name in names if name not in lengths.index]
    if absent:
        raise broken(tables / "accuracy.csv", f"has no row of the variant {absent[0]!r}")
    seeds = of(tables / "seeds.csv", ["seed", "tasks", "accuracy"])
    lost = of(tables / "diverged.csv", ["seed"])
    diverged = {name: tuple(sorted(lost.loc[lost["variant"] == name, "seed"])) for name in names}
    # Rows of a diverged seed are dropped, so that no mean includes them.
    kept = {name: set(params.tier(name).seeds) - set(diverged[name]) for name in names}
    seeds = _kept(seeds, kept)
    curves = _kept(of(tables / "curves.csv", ["seed", "meta_step", "split", "accuracy"]), kept)
    curves = curves[curves["split"] == "validation"]
    realism = _kept(of(samples / "realism.csv", ["seed", "kid", "distance"]), kept)
    gan = read_table(paths.gan(params.study) / "quality.csv", ["images", "class", "seed", "updates", "kid"])
    return Evidence(
        meta_steps={name: int(lengths[name]) for name in names},
        planned={name: tuple(params.tier(name).seeds) for name in names},
        diverged=diverged,
        tasks={name: int(group["tasks"].max()) for name, group in seeds.groupby("variant")},
        accuracy=_wide(seeds, "accuracy", names),
        kid=_wide(realism, "kid", names),
        distance=_wide(realism, "distance", names),
        curves={
            name: group.pivot(index="meta_step", columns="seed", values="accuracy")
            for name, group in curves.groupby("variant")
        },
        critic=_kept(of(samples / "tasks.csv", ["seed", "task", "kid", "wasserstein"]), kept),
        gan=gan.sort_values(["images", "class", "seed"], ignore_index=True),
    )


def _kept(table: pd.DataFrame, kept: dict[str, set[int]]) -> pd.DataFrame:
    rows = [seed in kept[name] for name, seed in zip(table["variant"], table["seed"], strict=True)]
    return table[pd.Series(rows, index=table.index, dtype=bool)]


def _wide(table: pd.DataFrame, column: str, names: list[str]) -> pd.DataFrame:
    return table.pivot(index="seed", columns="variant", values=column).astype(float).reindex(columns=names)
