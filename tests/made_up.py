"""A made-up study: the files that training, testing and the encoder would leave."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import jobs
import numpy as np
import pandas as pd

from megan.config import params as parameters
from megan.config import paths
from megan.config.params import Params, Tier, Tiers

ROOT = Path(__file__).parents[1]
COLOURS = ("#d62728", "#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#17becf")


@dataclass
class MadeUp:
    """Writes results below the working directory. `diverged`: variant -> seed -> meta-step."""

    variants: tuple[str, ...] = ("maml", "n_plus_1")
    seeds: tuple[int, ...] = (0, 1, 2)
    tasks: int = 20
    meta_steps: int = 800
    smoke: tuple[str, ...] = ()
    smoke_steps: int = 400
    smoke_seeds: tuple[int, ...] = (0,)
    labels: dict[str, str] = field(default_factory=dict)
    diverged: dict[str, dict[int, int]] = field(default_factory=dict)

    @property
    def params(self) -> Params:
        base = parameters.load(ROOT / "params.yaml")
        study = base.studies["quick"]
        tiers = Tiers(
            headline=Tier(meta_steps=self.meta_steps, seeds=self.seeds, test_tasks=self.tasks),
            ablation=Tier(meta_steps=self.meta_steps, seeds=self.seeds, test_tasks=self.tasks),
            survey=Tier(meta_steps=self.smoke_steps, seeds=self.smoke_seeds, test_tasks=self.tasks),
        )
        study = study.model_copy(update={"tiers": tiers})
        variants = {
            name: base.variants["maml"].model_copy(
                update={
                    "tier": "survey" if name in self.smoke else "headline",
                    "label": self.labels.get(name, name.upper()),
                    "colour": COLOURS[position % len(COLOURS)],
                }
            )
            for position, name in enumerate(self.variants)
        }
        # Of 8 tasks: `meta_steps` of 800 are long enough for a claim, `smoke_steps` of 400 are short.
        claims = base.claims
        return Params.model_construct(study="quick", studies={"quick": study}, variants=variants, claims=claims)

    def write(self) -> Params:
        params = self.params
        encoder = paths.encoder(params.study) / "metrics.json"
        encoder.parent.mkdir(parents=True, exist_ok=True)
        encoder.write_text(json.dumps({"validation_accuracy": 0.912345678, "validation_drawings": 400, "classes": 100}))
        jobs.leave_record(params, "encoder", study=params.study)
        for position, name in enumerate(self.variants):
            self._write_variant(params, name, position)
        return params

    def _write_variant(self, params: Params, name: str, position: int) -> None:
        tier = params.tier(name)
        lost = {seed: step for seed, step in self.diverged.get(name, {}).items() if seed in tier.seeds}
        curve, tasks, steps = [], [], []
        for seed in tier.seeds:
            rng = np.random.default_rng([seed, position])
            top = 0.9 + 0.004 * (position % 8) + 0.01 * rng.standard_normal()
            end = lost.get(seed, tier.meta_steps)
            for step in range(tier.meta_steps // 40, end + 1, tier.meta_steps // 40):
                level = top - (top - 0.2) * np.exp(-6 * step / self.meta_steps)
                wins = np.nan if name == "maml" else 0.1 * np.exp(-3 * step / self.meta_steps)
                curve.append(
                    (seed, step, "train", min(1, level + 0.03 + 0.01 * rng.standard_normal()), 1 - level, wins)
                )
                if step % (tier.meta_steps // 8) == 0:
                    curve.append(
                        (seed, step, "validation", min(1, level + 0.005 * rng.standard_normal()), 1 - level, wins)
                    )
            if seed in lost:
                continue
            correct = rng.binomial(75, top, self.tasks) / 75
            wins = np.nan if name == "maml" else 0.05
            tasks += [(seed, task, value, wins, "AB"[task % 2]) for task, value in enumerate(correct)]
            inner = params.current.inner.test_steps
            steps += [
                (
                    seed,
                    k,
                    0.2 + (correct.mean() - 0.2) * (1 - np.exp(-3 * k / inner)) / (1 - np.exp(-3)),
                    wins,
                    wins / 2,
                    wins,
                )
                for k in range(inner + 1)
            ]
        record = {
            "variant": name,
            "study": params.study,
            "meta_steps": tier.meta_steps,
            "seeds": list(tier.seeds),
            "best_meta_step": {str(seed): tier.meta_steps for seed in tier.seeds if seed not in lost},
            "diverged": {str(seed): {"meta_step": step, "loss": None} for seed, step in lost.items()},
        }
        trained, tested = paths.trained(params.study, name), paths.tested(params.study, name)
        for folder in (trained, tested):
            folder.mkdir(parents=True, exist_ok=True)
        values = ["accuracy", "fake_wins"]
        pd.DataFrame(curve, columns=["seed", "meta_step", "split", "accuracy", "loss", "fake_wins"]).to_csv(
            trained / "curve.csv", index=False
        )
        pd.DataFrame(tasks, columns=["seed", "task", *values, "alphabet"]).to_csv(tested / "tasks.csv", index=False)
        pd.DataFrame(steps, columns=["seed", "inner_step", *values, "p_fake_of_reals", "p_fake_of_fakes"]).to_csv(
            tested / "steps.csv", index=False
        )
        jobs.leave_record(params, "train", name, **record)
        jobs.leave_record(params, "test", name, **record, tasks=self.tasks, queries=15)
