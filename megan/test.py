"""The stage `test`: meta-test one trained variant on tasks of unseen classes.

Writes `tasks.csv` (a row a seed and task), `steps.csv` (a row a seed and number of inner
steps) and `record.json`; for a variant with fakes also `samples.safetensors` (see
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
    with storage.replacing_folder(paths.tested(params.study, name)) as folder:
        if healthy:
            scores = evaluate(
                system, weights, split, seeds, "test", count, study.tasks, study.inner.test_steps, workers,
                every_step=True,
            )  # fmt: skip
        else:
            empty = torch.empty(0, count, study.inner.test_steps + 1, dtype=torch.float64)
            scores = Scores(empty, empty, empty)
        tasks, steps = tables(scores, seeds.tolist(), system.has_fake_output)
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


def critic(wasserstein: torch.Tensor, seeds: list[int]) -> pandas.DataFrame:
    """`critic.csv`: seed, task, and the mean critic value of real query images less that of the fakes."""
    index = pandas.MultiIndex.from_product([seeds, range(wasserstein.shape[1])], names=["seed", "task"])
    return pandas.DataFrame({"wasserstein": wasserstein.flatten().numpy()}, index=index).reset_index()
