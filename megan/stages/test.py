"""Stage `test`: meta-tests one trained variant on tasks of unseen classes.

Writes tables with one row for each seed and task (`tasks.csv`; with its alphabet), number of inner steps (`steps.csv`)
and number of query images per class (`queries.csv`), and `record.json`. The tasks are the same for
every variant. For a variant with fakes it also measures some of them in the features of the judge, and writes
`realism.csv` and `real.csv` (one row for each seed: of the fakes, and of real images of the same tasks),
`fakes.csv` (one row for each seed and task) and `shown.safetensors` (the first tasks of each seed, see
`generation.Samples`).

The weights of each meta-step that training kept (`train.snapshots`) are scored on the same tasks: `snapshots.csv`
(one row for each seed and meta-step). With fakes, these are measured too: `snapshot_realism.csv` (one row for each
seed and meta-step, with the mean of the critic's value), and `shown_snapshots.safetensors`.
"""

import hashlib
import time
from functools import cache
from pathlib import Path

import numpy
import pandas
import torch
from safetensors.torch import load_file, save_file

from megan.config import paths
from megan.data.episodes import Sampler, TaskSet
from megan.meta import generation, setup, snapshots
from megan.meta.evaluate import Evaluation, Scores
from megan.meta.parallel import Workers
from megan.meta.with_fakes import WithFakes
from megan.models import encoder
from megan.models.initial import Weights
from megan.realism import fake_quality
from megan.runs import progress, provenance, result, storage
from megan.runs.job import Job

SHOWN = 4  # tasks of each seed whose images are kept for figures
SHOWN_DRAWS = 3  # draws of their fakes that are kept of a snapshot


def run(job: Job) -> None:
    """Meta-test the variant `job.item`. Seeds that diverged in training are left out."""
    source, options, count = paths.trained(job.study, job.item), job.settings.test, job.params.tier(job.item).test_tasks
    trained, queries = result.load(source), job.settings.tasks.test_queries
    workers, started = setup.workers(job.params), time.monotonic()
    healthy = [index for index, seed in enumerate(trained["seeds"]) if str(seed) not in trained["diverged"]]
    seeds = torch.tensor(trained["seeds"], device=workers.device)[healthy]
    system, sampler = setup.system(job.params, job.item), setup.sampler(job.params, job.item, "test", workers)
    progress.say(f"{job.address}: {count} tasks per seed, seeds {seeds.tolist()}")

    def of_healthy(values: Weights) -> Weights:
        return {key: value[healthy].to(workers.device) for key, value in values.items()}

    def scored(queries: int, every_step: bool, weights: Weights) -> Scores:
        if not healthy:
            empty = torch.empty(0, count, system.inner.test_steps + 1 if every_step else 1, dtype=torch.float64)
            return Scores(*[empty] * 5)
        return evaluation(queries, every_step)(weights)

    weights = of_healthy(load_file(source / "weights.safetensors"))
    kept = {step: of_healthy(values) for step, values in snapshots.read(source).items()}

    @cache
    def evaluation(queries: int, every_step: bool) -> Evaluation:
        tasks = TaskSet(sampler, seeds, "test", count, queries)
        return Evaluation(system, tasks, workers, every_step=every_step, times=max(1, len(kept)))

    with storage.replacing_folder(job.folder) as folder:
        scores = scored(queries, True, weights)
        tasks, steps = tables(scores, seeds.tolist(), system.has_fake_output)
        tasks["alphabet"] = TaskSet(sampler, seeds, "test", count, queries).alphabets() if healthy else []
        # Batch normalisation uses the batch of queries, so accuracy depends on their number.
        others = {other: scored(other, False, weights) for other in options.other_queries}
        by_queries({queries: scores, **others}, seeds.tolist()).to_csv(folder / "queries.csv", index=False)
        tasks.to_csv(folder / "tasks.csv", index=False)
        steps.to_csv(folder / "steps.csv", index=False)
        if isinstance(system, WithFakes) and system.makes_fakes:
            fakes = Fakes(job, system, sampler, seeds, workers)
            fakes.measure(weights, folder)
            if kept:
                fakes.measure_snapshots(kept, folder)
        if kept:
            at = {step: scored(queries, False, values) for step, values in kept.items()}
            by_snapshot(at, seeds.tolist(), system.has_fake_output).to_csv(folder / "snapshots.csv", index=False)
        record = {
            key: trained[key] for key in ("study", "variant", "meta_steps", "seeds", "diverged", "best_meta_step")
        }
        result.write(folder, job.identity, {**record, "tasks": count, "queries": queries})
    made = provenance.describe(workers.rounding(), threads=workers.threads, wall_seconds=time.monotonic() - started)
    storage.write_json(job.provenance, made)


class Fakes:
    """Fakes for the first test tasks of each seed, and their measures in the features of the judge."""

    def __init__(self, job: Job, system: WithFakes, sampler: Sampler, seeds: torch.Tensor, workers: Workers) -> None:
        self.system, self.workers, self.draws = system, workers, job.settings.test.draws
        reals = min(job.settings.test.sample_queries, job.settings.tasks.test_queries)
        self.tasks = TaskSet(sampler, seeds, "test", job.settings.test.sample_tasks, reals)
        self.judge = encoder.load(job.params, workers.device, "judge")
        self.known: dict[bytes, torch.Tensor] = {}  # features, since the real images are the same at every snapshot

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        key = hashlib.sha256(images.contiguous().numpy().data).digest()
        if key not in self.known:
            self.known[key] = setup.embed(images, self.judge, self.workers)
        return self.known[key]

    def made(self, weights: Weights) -> fake_quality.Made:
        """Samples of generators that start from `weights` [seeds, ...] each."""
        samples = generation.draw(self.system, weights, self.tasks, self.draws, self.workers)
        return fake_quality.Made(
            fakes=samples.fakes,
            support=samples.support,
            query=samples.query,
            wasserstein=samples.wasserstein,
            seeds=self.tasks.seeds.tolist(),
            drawn=self.system.variant.fake_source != "alphabet",
        )

    def measure(self, weights: Weights, folder: Path) -> None:
        """Measure the fakes of the final weights, and write the tables and the images to show."""
        made = self.made(weights)
        found = fake_quality.judged(made, self._features)
        found.fakes.to_csv(folder / "realism.csv", index=False)
        found.real.to_csv(folder / "real.csv", index=False)
        found.tasks.to_csv(folder / "fakes.csv", index=False)
        images = {key: getattr(made, key)[:, :SHOWN].contiguous() for key in ("fakes", "support", "query")}
        save_file({**images, "seeds": self.tasks.seeds.cpu()}, folder / "shown.safetensors")

    def measure_snapshots(self, kept: dict[int, Weights], folder: Path) -> None:
        """The same at each kept meta-step, on the same tasks: KID and the critic's value over training (claim 17)."""
        rows, shown = [], {}
        for step, weights in kept.items():
            made = self.made(weights)
            found = fake_quality.judged(made, self._features)
            critic = found.tasks.groupby("seed")["wasserstein"].mean().reindex(found.fakes["seed"])
            rows.append(found.fakes.assign(meta_step=step, wasserstein=critic.to_numpy()))
            shown[f"fakes/{step}"] = made.fakes[:, :SHOWN, :SHOWN_DRAWS].contiguous()
        table = pandas.concat(rows, ignore_index=True)[fake_quality.OVER_TRAINING]
        table.sort_values(["seed", "meta_step"]).to_csv(folder / "snapshot_realism.csv", index=False)
        save_file(shown, folder / "shown_snapshots.safetensors")


def tables(scores: Scores, seeds: list[int], has_fake_output: bool) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """`tasks.csv` (seed, task, accuracy, fake_wins) and `steps.csv` (seed, inner_step, means over tasks).

    `steps.csv` also has the mean probability of "fake", of real queries and of fakes: p_fake_of_reals, p_fake_of_fakes.
    """
    _, tasks, steps = scores.accuracy.shape

    def frame(second: str, count: int, pick: dict[str, torch.Tensor]) -> pandas.DataFrame:
        index = pandas.MultiIndex.from_product([seeds, range(count)], names=["seed", second])
        columns = {key: values.flatten().numpy() for key, values in pick.items()}
        if not has_fake_output:
            columns["fake_wins"] = numpy.full(len(index), numpy.nan)
        return pandas.DataFrame(columns, index=index).reset_index()

    both = {"accuracy": scores.accuracy, "fake_wins": scores.fake_wins}
    every = both | {key: getattr(scores, key) for key in ("p_fake_of_reals", "p_fake_of_fakes")}
    return (
        frame("task", tasks, {key: values[:, :, -1] for key, values in both.items()}),
        frame("inner_step", steps, {key: values.mean(dim=1) for key, values in every.items()}),
    )


def by_queries(scores: dict[int, Scores], seeds: list[int]) -> pandas.DataFrame:
    """`queries.csv`: seed, queries (for each class), mean accuracy after the last inner step, its standard error."""
    rows = [
        (seed, queries, float(accuracy.mean()), float(accuracy.std() / len(accuracy) ** 0.5))
        for queries, found in scores.items()
        for seed, accuracy in zip(seeds, found.accuracy[:, :, -1], strict=True)
    ]
    return pandas.DataFrame(rows, columns=["seed", "queries", "accuracy", "standard_error"])


def by_snapshot(scores: dict[int, Scores], seeds: list[int], has_fake_output: bool) -> pandas.DataFrame:
    """`snapshots.csv`: seed, meta_step, and means over tasks after the last inner step.

    accuracy with its standard error, loss on the query, and fake_wins (NaN without a fake output).
    """
    rows = []
    for step, found in scores.items():
        for index, seed in enumerate(seeds):
            accuracy, loss, wins = (getattr(found, name)[index, :, -1] for name in ("accuracy", "loss", "fake_wins"))
            error = float(accuracy.std() / len(accuracy) ** 0.5)
            shown = float(wins.mean()) if has_fake_output else numpy.nan
            rows.append((seed, step, float(accuracy.mean()), error, float(loss.mean()), shown))
    columns = ["seed", "meta_step", "accuracy", "standard_error", "loss", "fake_wins"]
    return pandas.DataFrame(rows, columns=columns)
