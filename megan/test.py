"""The stage `test`: meta-test one trained variant on tasks of unseen classes.

Writes `tasks.csv` (a row a seed and task), `steps.csv` (a row a seed and number of inner
steps), `queries.csv` (a row a seed and number of query images a class) and `record.json`; for a variant with fakes also `samples.safetensors` (see
`sampling.Samples`) and `critic.csv` (a row a seed and sampled task). The tasks are the same
for every variant.
"""

import time

import pandas
import torch
from safetensors.torch import load_file, save_file

from megan import paths, progress, provenance, sampling, storage
from megan.meta import assemble, work
from megan.meta.evaluate import Scores, evaluate
from megan.meta.parallel import Workers
from megan.params import Params


def run(params: Params, name: str) -> None:
    """Meta-test variant `name` in the current study.

    **Raises** `work.StaleError` when the trained weights do not fit the parameters.
    """
    study, source, count = params.current, paths.trained(params.study, name), params.tier(name).test_tasks
    trained = work.check_fits(source, work.parameters(params, name), f"train@{name}")
    identity = {
        "parameters": {**trained["parameters"], "test_tasks": count, "test": study.test.model_dump(mode="json")},
        "data": assemble.made_of(params, name, "test"),
        "modules": work.modules(),
        "trained": trained["digest"],
    }
    workers, started = Workers(), time.monotonic()
    healthy = [index for index, seed in enumerate(trained["seeds"]) if str(seed) not in trained["diverged"]]
    seeds = torch.tensor(trained["seeds"], device=workers.device)[healthy]
    weights = {key: value[healthy].to(workers.device) for key, value in load_file(source / "weights.safetensors").items()}
    split, system = assemble.split(params, name, "test", workers), assemble.system(params, name)
    progress.say(f"test {name}: {count} tasks a seed, seeds {seeds.tolist()}")

    def scored(queries: int, every_step: bool) -> Scores:
        if not healthy:
            empty = torch.empty(0, count, study.inner.test_steps + 1 if every_step else 1, dtype=torch.float64)
            return Scores(empty, empty, empty)
        of_queries = study.tasks.model_copy(update={"test_queries": queries})
        return evaluate(system, weights, split, seeds, "test", count, of_queries, study.inner.test_steps, workers, every_step=every_step)

    with storage.replacing_folder(paths.tested(params.study, name)) as folder:
        scores = scored(study.tasks.test_queries, every_step=True)
        tasks, steps = tables(scores, seeds.tolist(), system.has_fake_output)
        # Normalisation uses the batch of queries, so that accuracy depends on their number.
        others = {queries: scored(queries, every_step=False) for queries in study.test.other_queries}
        by_queries({study.tasks.test_queries: scores, **others}, seeds.tolist()).to_csv(folder / "queries.csv", index=False)
        tasks.to_csv(folder / "tasks.csv", index=False)
        steps.to_csv(folder / "steps.csv", index=False)
        if system.makes_fakes:
            samples = sampling.draw(
                system, weights, split, seeds, "test", study.test.sample_tasks, study.tasks, study.inner.test_steps, study.test.draws, workers
            )  # fmt: skip
            critic(samples.wasserstein, seeds.tolist()).to_csv(folder / "critic.csv", index=False)
            images = {key: getattr(samples, key).contiguous() for key in ("fakes", "support", "query")}
            save_file({**images, "seeds": seeds.cpu()}, folder / "samples.safetensors")
        record = {key: trained[key] for key in ("study", "variant", "meta_steps", "seeds", "diverged", "best_meta_step")}
        work.write_record(folder, identity, {**record, "tasks": count, "queries": study.tasks.test_queries})
    made = provenance.describe(workers.rounding(), threads=workers.threads, wall_seconds=time.monotonic() - started)
    storage.write_json(paths.provenance(params.study, f"test-{name}"), made)


def tables(scores: Scores, seeds: list[int], has_fake_output: bool) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """`tasks.csv`: seed, task, accuracy, fake_wins after the last step; `steps.csv`: seed, inner_step, means over tasks."""
    _, tasks, steps = scores.accuracy.shape

    def frame(second: str, count: int, pick: dict[str, torch.Tensor]) -> pandas.DataFrame:
        index = pandas.MultiIndex.from_product([seeds, range(count)], names=["seed", second])
        columns = {key: values.flatten().numpy() for key, values in pick.items()}
        if not has_fake_output:
            columns["fake_wins"] = float("nan")
        return pandas.DataFrame(columns, index=index).reset_index()

    both = {"accuracy": scores.accuracy, "fake_wins": scores.fake_wins}
    return (
        frame("task", tasks, {key: values[:, :, -1] for key, values in both.items()}),
        frame("inner_step", steps, {key: values.mean(dim=1) for key, values in both.items()}),
    )


def by_queries(scores: dict[int, Scores], seeds: list[int]) -> pandas.DataFrame:
    """`queries.csv`: seed, queries (a class), accuracy over the tasks after the last inner step, and its standard error."""
    rows = [
        (seed, queries, float(accuracy.mean()), float(accuracy.std() / len(accuracy) ** 0.5))
        for queries, found in scores.items()
        for seed, accuracy in zip(seeds, found.accuracy[:, :, -1], strict=True)
    ]
    return pandas.DataFrame(rows, columns=["seed", "queries", "accuracy", "standard_error"])


def critic(wasserstein: torch.Tensor, seeds: list[int]) -> pandas.DataFrame:
    """`critic.csv`: seed, task, and the mean critic value of real query images less that of the fakes."""
    index = pandas.MultiIndex.from_product([seeds, range(wasserstein.shape[1])], names=["seed", "task"])
    return pandas.DataFrame({"wasserstein": wasserstein.flatten().numpy()}, index=index).reset_index()
