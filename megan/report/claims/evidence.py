"""The data that decide the claims: tables, samples and the quality of the plain GAN, by seed and variant."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from megan.config import paths
from megan.config.params import Params
from megan.report.inputs import broken, read_table

SNAPSHOTS = ["variant", "seed", "meta_step", "kid", "wasserstein"]  # columns of samples/snapshots.csv
GAN = ["images", "class", "seed", "updates", "kid"]  # of gan/quality.csv


@dataclass(frozen=True)
class Evidence:
    """All data by variant and seed. In every frame a diverged seed has NaN.

    `accuracy`, `kid`, `distance`: frames [seeds, variants], accuracy from 0 to 1.
    `curves[variant]`: frame [meta-steps, finished seeds] of validation accuracy.
    `by_task`: columns variant, seed, task, kid. `snapshots`: `SNAPSHOTS`, no row if training kept none;
    wasserstein is the critic's value of reals minus that of fakes.
    `waiting`: stages of the study that have not been run yet, as `Params.waiting`.
    `gan`: columns images, class, seed, updates, kid; no row if it waits. `planned`, `diverged`,
    `failed` (it learnt nothing): seeds; `tasks`: meta-test tasks of one seed.
    """

    study: str
    meta_batch: int
    schedule: str
    meta_steps: dict[str, int]
    planned: dict[str, tuple[int, ...]]
    diverged: dict[str, tuple[int, ...]]
    failed: dict[str, tuple[int, ...]]
    tasks: dict[str, int]
    accuracy: pd.DataFrame
    kid: pd.DataFrame
    distance: pd.DataFrame
    curves: dict[str, pd.DataFrame]
    by_task: pd.DataFrame
    snapshots: pd.DataFrame
    gan: pd.DataFrame
    waiting: tuple[str, ...] = ()

    def lost(self, variant: str) -> set[int]:
        """Seeds that diverged or learnt nothing."""
        return set(self.diverged[variant]) | set(self.failed[variant])

    def common(self, variants: Collection[str]) -> list[int]:
        """Seeds that are planned for all `variants`."""
        return sorted(set.intersection(*(set(self.planned[name]) for name in variants)))

    def counting(self, harmed: Collection[str] = ()) -> "Evidence":
        """Without the runs that learnt nothing, except those of the variants `harmed`."""
        gone = {name: seeds for name, seeds in self.failed.items() if seeds and name not in harmed}

        def wide(frame: pd.DataFrame) -> pd.DataFrame:
            frame = frame.copy()
            for name, seeds in gone.items():
                frame.loc[frame.index.isin(seeds), name] = float("nan")
            return frame

        def long(table: pd.DataFrame) -> pd.DataFrame:
            pairs = zip(table["variant"], table["seed"], strict=True)
            return table[pd.Series([seed not in gone.get(name, ()) for name, seed in pairs], table.index, dtype=bool)]

        return replace(
            self,
            failed={name: () if name in harmed else seeds for name, seeds in self.failed.items()},
            accuracy=wide(self.accuracy),
            kid=wide(self.kid),
            distance=wide(self.distance),
            curves={
                name: curve.drop(columns=[seed for seed in gone.get(name, ()) if seed in curve])
                for name, curve in self.curves.items()
            },
            by_task=long(self.by_task),
            snapshots=long(self.snapshots),
        )


def read(params: Params) -> Evidence:
    """Read the data of the variants of `params`, and ignore all other rows.

    **Raises** `ReportError` if a file is missing, damaged, or lacks a variant.
    """
    tables, samples = paths.tables(params.study), paths.samples(params.study)
    names, train = list(params.variants), params.current.train

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
    idle = seeds[seeds["accuracy"] < least_accuracy(params.current.tasks.ways, params.claims.learnt)]
    curves = _kept(of(tables / "curves.csv", ["seed", "meta_step", "split", "accuracy"]), kept)
    curves = curves[curves["split"] == "validation"]
    realism = _kept(of(samples / "realism.csv", ["seed", "kid", "distance"]), kept)
    path = samples / "snapshots.csv"
    snapshots = _kept(of(path, SNAPSHOTS[1:]), kept).dropna() if path.exists() else pd.DataFrame(columns=SNAPSHOTS)
    gan = pd.DataFrame(columns=GAN)
    if "gan" not in params.waiting:
        gan = read_table(paths.gan(params.study) / "quality.csv", GAN)
    return Evidence(
        study=params.study,
        meta_batch=train.meta_batch,
        schedule=train.schedule,
        meta_steps={name: int(lengths[name]) for name in names},
        planned={name: tuple(params.tier(name).seeds) for name in names},
        diverged=diverged,
        failed={name: tuple(sorted(idle.loc[idle["variant"] == name, "seed"])) for name in names},
        tasks={name: int(group["tasks"].max()) for name, group in seeds.groupby("variant")},
        accuracy=_wide(seeds, "accuracy", names),
        kid=_wide(realism, "kid", names),
        distance=_wide(realism, "distance", names),
        curves={
            name: group.pivot(index="meta_step", columns="seed", values="accuracy")
            for name, group in curves.groupby("variant")
        },
        by_task=_kept(of(samples / "tasks.csv", ["seed", "task", "kid"]), kept),
        snapshots=snapshots,
        gan=gan.sort_values(["images", "class", "seed"], ignore_index=True),
        waiting=params.waiting,
    )


def least_accuracy(ways: int, share: float) -> float:
    """The accuracy below which a run has learnt nothing: `share` of the way from chance (1 / `ways`) to 1."""
    return 1 / ways + share * (1 - 1 / ways)


def _kept(table: pd.DataFrame, kept: dict[str, set[int]]) -> pd.DataFrame:
    rows = [seed in kept[name] for name, seed in zip(table["variant"], table["seed"], strict=True)]
    return table[pd.Series(rows, index=table.index, dtype=bool)]


def _wide(table: pd.DataFrame, column: str, names: list[str]) -> pd.DataFrame:
    return table.pivot(index="seed", columns="variant", values=column).astype(float).reindex(columns=names)
