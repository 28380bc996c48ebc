"""Stage `test`: meta-tests one trained variant on tasks of unseen classes.

Writes tables with one row for each seed and task (`tasks.csv`), number of inner steps (`steps.csv`)
and number of query images per class (`queries.csv`), and `record.json`. The tasks are the same for
every variant. For a variant with fakes it also measures some of them in the features of the judge, and writes
`realism.csv` and `real.csv` (one row for each seed: of the fakes, and of real images of the same tasks),
`fakes.csv` (one row for each seed and task) and `shown.safetensors` (the first tasks of each seed, see
`generation.Samples`).
"""

import time
from pathlib import Path

import numpy
import pandas
import torch
from safetensors.torch import load_file, save_file

from megan.config import paths
from megan.data.episodes import Sampler, TaskSet
from megan.meta import generation, setup
from megan.meta.evaluate import Scores, evaluate
from megan.meta.parallel import Workers
from megan.meta.with_fakes import WithFakes
from megan.models import encoder
from megan.models.initial import Weights
from megan.realism import fake_quality
from megan.runs import progress, provenance, result, storage
from megan.runs.job import Job

SHOWN = 4  # tasks of each seed whose images are kept for figures


def run(job: Job) -> None:
    """Meta-test the variant `job.item`. Seeds that diverged in training are left out."""
    source, options, count = paths.trained(job.study, job.item), job.settings.test, job.params.tier(job.item).test_tasks
    trained, queries = result.load(source), job.settings.tasks.test_queries
    workers, started = setup.workers(job.params), time.monotonic()
    healthy = [index for index, seed in enumerate(trained["seeds"]) if str(seed) not in trained["diverged"]]
    seeds = torch.tensor(trained["seeds"], device=workers.device)[healthy]
    weights = {
        key: value[healthy].to(workers.device) for key, value in load_file(source / "weights.safetensors").items()
    }
    system, sampler = setup.system(job.params, job.item), setup.sampler(job.params, job.item, "test", workers)
    progress.say(f"{job.address}: {count} tasks per seed, seeds {seeds.tolist()}")

    def scored(queries: int, every_step: bool) -> Scores:
        if not healthy:
            empty = torch.empty(0, count, system.inner.test_steps + 1 if every_step else 1, dtype=torch.float64)
            return Scores(empty, empty, empty)
        return evaluate(
            system, weights, TaskSet(sampler, seeds, "test", count, queries), workers, every_step=every_step
        )

    with storage.replacing_folder(job.folder) as folder:
        scores = scored(queries, every_step=True)
        tasks, steps = tables(scores, seeds.tolist(), system.has_fake_output)
        # Batch normalisation uses the batch of queries, so accuracy depends on their number.
        others = {other: scored(other, every_step=False) for other in options.other_queries}
        by_queries({queries: scores, **others}, seeds.tolist()).to_csv(folder / "queries.csv", index=False)
        tasks.to_csv(folder / "tasks.csv", index=False)
        steps.to_csv(folder / "steps.csv", index=False)
        if isinstance(system, WithFakes) and system.makes_fakes:
            measure_fakes(job, system, weights, (sampler, seeds), workers, folder)
        record = {
            key: trained[key] for key in ("study", "variant", "meta_steps", "seeds", "diverged", "best_meta_step")
        }
        result.write(folder, job.identity, {**record, "tasks": count, "queries": queries})
    made = provenance.describe(workers.rounding(), threads=workers.threads, wall_seconds=time.monotonic() - started)
    storage.write_json(job.provenance, made)


def measure_fakes(
    job: Job,
    system: WithFakes,
    weights: Weights,
    source: tuple[Sampler, torch.Tensor],
    workers: Workers,
    folder: Path,
) -> None:
    """Make fakes for the first test tasks of each seed, measure them, and write the tables and the images to show.

    **Arguments** `weights` [seeds, ...] each; `source`: the sampler, and the seeds.
    """
    options, (sampler, seeds) = job.settings.test, source
    reals = min(options.sample_queries, job.settings.tasks.test_queries)
    sampled = TaskSet(sampler, seeds, "test", options.sample_tasks, reals)
    samples = generation.draw(system, weights, sampled, options.draws, workers)
    judge = encoder.load(job.params, workers.device, "judge")
    images = {key: getattr(samples, key) for key in ("fakes", "support", "query")}
    made = fake_quality.Made(
        **images,
        wasserstein=samples.wasserstein,
        seeds=seeds.tolist(),
        drawn=system.variant.fake_source != "alphabet",
    )
    found = fake_quality.judged(made, lambda some: setup.embed(some, judge, workers))
    found.fakes.to_csv(folder / "realism.csv", index=False)
    found.real.to_csv(folder / "real.csv", index=False)
    found.tasks.to_csv(folder / "fakes.csv", index=False)
    first = {key: some[:, :SHOWN].contiguous() for key, some in images.items()}
    save_file({**first, "seeds": seeds.cpu()}, folder / "shown.safetensors")


def tables(scores: Scores, seeds: list[int], has_fake_output: bool) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """`tasks.csv` (seed, task, accuracy, fake_wins) and `steps.csv` (seed, inner_step, means over tasks)."""
    _, tasks, steps = scores.accuracy.shape

    def frame(second: str, count: int, pick: dict[str, torch.Tensor]) -> pandas.DataFrame:
        index = pandas.MultiIndex.from_product([seeds, range(count)], names=["seed", second])
        columns = {key: values.flatten().numpy() for key, values in pick.items()}
        if not has_fake_output:
            columns["fake_wins"] = numpy.full(len(index), numpy.nan)
        return pandas.DataFrame(columns, index=index).reset_index()

    both = {"accuracy": scores.accuracy, "fake_wins": scores.fake_wins}
    return (
        frame("task", tasks, {key: values[:, :, -1] for key, values in both.items()}),
        frame("inner_step", steps, {key: values.mean(dim=1) for key, values in both.items()}),
    )


def by_queries(scores: dict[int, Scores], seeds: list[int]) -> pandas.DataFrame:
    """`queries.csv`: seed, queries (a class), mean accuracy after the last inner step, and its standard error."""
    rows = [
        (seed, queries, float(accuracy.mean()), float(accuracy.std() / len(accuracy) ** 0.5))
        for queries, found in scores.items()
        for seed, accuracy in zip(seeds, found.accuracy[:, :, -1], strict=True)
    ]
    return pandas.DataFrame(rows, columns=["seed", "queries", "accuracy", "standard_error"])
