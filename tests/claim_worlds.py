"""Made-up evidence for the claims: what is true of each variant, from which runs are drawn."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from megan.report.claims.evidence import Evidence
from megan.report.claims.rules import ALL
from megan.report.claims.variants import APART, LABEL, UNTRAINED, WASSERSTEIN

NAMES = sorted({name for claim in ALL for name in claim.variants})


@dataclass
class World:
    """Levels by variant, and the noise of a run. `task_spread`: of log KID over the tasks of a run."""

    accuracy: dict[str, float] = field(default_factory=dict)
    kid: dict[str, float] = field(default_factory=dict)
    distance: dict[str, float] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)
    task_spread: dict[str, float] = field(default_factory=dict)
    accuracy_noise: float = 5e-4
    kid_noise: float = 2e-3
    follows: float = 0.0
    degrades: float = 0.0
    diverged: dict[str, tuple[int, ...]] = field(default_factory=dict)
    failed: dict[str, tuple[int, ...]] = field(default_factory=dict)
    seeds: int = 16
    meta_steps: dict[str, int] = field(default_factory=dict)
    study: str = "text"
    schedule: str = "constant"

    def evidence(self, random: int = 0) -> Evidence:
        rng, seeds = np.random.default_rng(random), list(range(self.seeds))

        def frame(levels, level, noise):
            shared = noise * rng.standard_normal((self.seeds, 1))  # what a seed's tasks do to all variants alike
            own = rng.standard_normal((self.seeds, len(NAMES))) * [self.noise.get(name, 1) * noise for name in NAMES]
            table = pd.DataFrame(shared + own, index=pd.Index(seeds, name="seed"), columns=NAMES)
            table += pd.Series({name: levels.get(name, level) for name in NAMES})
            for name, lost in self.diverged.items():
                table.loc[list(lost), name] = np.nan
            return table

        accuracy = frame(self.accuracy, 0.9, self.accuracy_noise)
        for name, idle in self.failed.items():
            accuracy.loc[list(idle), name] = 0.2
        steps = np.arange(0, 26) * 100
        curves = {}
        for name in ("maml", "n_plus_1"):
            heights = 0.9 - 0.45 * np.exp(-steps / self.pace.get(name, 400))
            curve = heights[:, None] + self.accuracy_noise * rng.standard_normal((len(steps), self.seeds))
            curves[name] = pd.DataFrame(curve, index=steps, columns=seeds).drop(
                columns=list(self.diverged.get(name, ()))
            )
        by_task = pd.DataFrame(
            [(name, seed, task) for name in (APART, LABEL) for seed in seeds for task in range(32)],
            columns=["variant", "seed", "task"],
        )
        spread = by_task["variant"].map({name: self.task_spread.get(name, 0.25) for name in (APART, LABEL)})
        by_task["kid"] = np.exp(spread * rng.standard_normal(len(by_task)))
        snapshots = pd.DataFrame(
            [(name, seed, step) for name in WASSERSTEIN for seed in seeds for step in range(0, 600, 100)],
            columns=["variant", "seed", "meta_step"],
        )
        snapshots["kid"] = np.exp(-snapshots["meta_step"] / 250 + 0.1 * rng.standard_normal(len(snapshots)))
        snapshots["wasserstein"] = self.follows * snapshots["kid"] + 0.3 * rng.standard_normal(len(snapshots))
        gan = pd.DataFrame(
            [(images, kind, seed, 500) for images in (100, 25, 10, 5, 1) for kind in range(3) for seed in seeds],
            columns=["images", "class", "seed", "updates"],
        )
        gan["kid"] = 0.2 + self.degrades * (gan["images"] < 25) + 5 * self.kid_noise * rng.standard_normal(len(gan))
        return Evidence(
            study=self.study,
            meta_batch=8,
            schedule=self.schedule,
            meta_steps={name: self.meta_steps.get(name, 2500) for name in NAMES},
            planned={name: tuple(seeds) for name in NAMES},
            diverged={name: self.diverged.get(name, ()) for name in NAMES},
            failed={name: self.failed.get(name, ()) for name in NAMES},
            tasks=dict.fromkeys(NAMES, 100),
            accuracy=accuracy,
            kid=frame({UNTRAINED: 1.0, **self.kid}, 0.2, self.kid_noise),
            distance=frame(self.distance, 0.6, 5 * self.kid_noise),
            curves=curves,
            by_task=by_task,
            snapshots=snapshots,
            gan=gan,
        )
