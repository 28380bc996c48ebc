"""Stage `samples`: measures the fakes of every variant, and selects those that figures show.

Writes `realism.csv` (one row for each variant and finished seed), `tasks.csv` (one row for each variant,
seed and sampled task), both computed by `fake_quality`, `snapshots.csv` (one row for each variant, seed
and meta-step whose weights were kept: the realism of its fakes and the critic's value on the same meta-test
tasks), `grids.safetensors` and `record.json`. If the judge
has learnt nothing, the numbers in its features are left empty, and the column `judge_learnt` says so.
"""

import time
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from megan.config import machine, paths
from megan.data import channels, dataset, packed
from megan.data.packed import Split
from megan.models import encoder, learnt
from megan.realism.fake_quality import IN_FEATURES, REALISM, Made, judged
from megan.runs import progress, provenance, result, storage
from megan.runs.job import Job

SHOWN = 4  # tasks in the grids
SHOWN_DRAWS = 3  # of each snapshot
AT = "@"  # between a variant's name, which has no such sign, and a meta-step
SNAPSHOTS = ["variant", "seed", "meta_step", *REALISM[2:-1], "wasserstein", "judge_learnt"]
EXAMPLES = (8, 14)  # alphabets and characters of Fig. 3, or fewer if there are not so many


def run(job: Job) -> None:
    """Measure the samples of every variant that makes fakes."""
    device, started = machine.device(), time.monotonic()
    torch.set_num_threads(machine.threads())
    judge = encoder.load(job.params, device, "judge")
    records = {name: result.load(paths.tested(job.study, name)) for name in job.params.variants}
    made = {name: _made(job, name) for name, record in records.items() if "samples.safetensors" in record["files"]}
    progress.say(
        f"samples: {sum(one.fakes.shape[:4].numel() for one in made.values()):,} fakes of {len(made)} variants"
    )
    over_training = {key: one for name, own in made.items() for key, one in _at_snapshots(job, name, own).items()}
    measured, tasks = _of_a_judge_that_learnt(job, *judged({**made, **over_training}, judge, device))
    measured, tasks, snapshots = _apart(measured, tasks)
    split = packed.load(paths.split(job.study, "train"))
    (grids, seed), alphabets = _grids(made), _rows(split)
    grids |= {
        f"fakes/{key}": one.fakes[one.seeds.index(seed), :SHOWN, :SHOWN_DRAWS]
        for key, one in over_training.items()
        if seed in one.seeds
    }
    grids["examples"] = channels.without_axis(_examples(split, alphabets))
    with storage.replacing_folder(job.folder) as folder:
        measured.to_csv(folder / "realism.csv", index=False, float_format="%.9g")
        tasks.to_csv(folder / "tasks.csv", index=False, float_format="%.9g")
        snapshots.to_csv(folder / "snapshots.csv", index=False, float_format="%.9g")
        save_file({name: images.contiguous() for name, images in grids.items()}, folder / "grids.safetensors")
        names = [split.alphabet_names[row] for row in alphabets]
        content = {
            "study": job.study,
            "variants": list(made),
            "seed": seed,
            "alphabets": names,
            "data": _data(job),
            "judge_accuracy": _judge_accuracy(job),
        }
        result.write(folder, job.identity, content)
    rounding = {"device": device, "threads": machine.threads()}
    storage.write_json(job.provenance, provenance.describe(rounding, wall_seconds=time.monotonic() - started))


def _data(job: Job) -> dict[str, Any]:
    """What figures of images say of the data set, and whether 255 is ink."""
    found = dataset.load(job.settings.data.dataset)
    return {"title": found.title, "ink": found.characters is None or found.characters.ink}


def _judge_accuracy(job: Job) -> dict[str, Any]:
    """The judge's accuracy on held-out drawings (0 to 1), the number of classes, and whether that is above chance."""
    metrics = encoder.metrics(job.params, "judge")
    told = {key: metrics[key] for key in ("validation_accuracy", "classes")}
    return {**told, "learnt": learnt.has_learnt(metrics)}


def _of_a_judge_that_learnt(job: Job, measured: pd.DataFrame, tasks: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables with the column `judge_learnt`; without the numbers in the judge's features if it has learnt nothing.

    Features of a network that guesses would give numbers that look like measurements.
    """
    metrics = encoder.metrics(job.params, "judge")
    known = learnt.has_learnt(metrics)
    if not known:
        progress.say(
            f"samples: the judge {learnt.described(metrics)}, so KID, distance and likeness are left empty; raise"
            f" studies.{job.study}.judge.steps = {job.settings.judge.steps} in params.yaml"
        )
        measured = measured.assign(**dict.fromkeys(IN_FEATURES, float("nan")))
        tasks = tasks.assign(kid=float("nan"))
    return measured.assign(judge_learnt=known), tasks.assign(judge_learnt=known)


def _made(job: Job, name: str) -> Made:
    folder = paths.tested(job.study, name)
    tensors, critic = load_file(folder / "samples.safetensors"), pd.read_csv(folder / "critic.csv")
    drawn = job.params.variant(name).fake_source != "alphabet"
    return Made(tensors["fakes"], tensors["support"], tensors["query"], tensors["seeds"].tolist(), critic, drawn)


def _at_snapshots(job: Job, name: str, final: Made) -> dict[str, Made]:
    """The samples of a variant at each kept meta-step, on the tasks of its final ones, by `NAME@STEP`."""
    folder = paths.tested(job.study, name)
    if not (folder / "snapshot_samples.safetensors").is_file():
        return {}
    critic = pd.read_csv(folder / "snapshot_critic.csv")
    found = {}
    for key, fakes in load_file(folder / "snapshot_samples.safetensors").items():
        step = int(key.removeprefix("fakes/"))
        own = critic[critic["meta_step"] == step].drop(columns="meta_step")
        found[step] = replace(final, fakes=fakes, critic=own)
    return {f"{name}{AT}{step}": one for step, one in sorted(found.items())}


def _apart(measured: pd.DataFrame, tasks: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The tables of final weights, and that of the snapshots."""
    of_snapshots = [table["variant"].str.contains(AT) for table in (measured, tasks)]
    rows, values = measured[of_snapshots[0]], tasks[of_snapshots[1]]
    critic = values.groupby(["variant", "seed"])["wasserstein"].mean().reset_index()
    rows = rows.merge(critic, on=["variant", "seed"], how="left")
    names = rows["variant"].str.partition(AT)
    rows = rows.assign(variant=names[0], meta_step=names[2].astype("int64")) if len(rows) else rows
    kept = [table[~is_of].reset_index(drop=True) for table, is_of in zip((measured, tasks), of_snapshots, strict=True)]
    return *kept, rows.reindex(columns=SNAPSHOTS)


def _grids(made: dict[str, Made]) -> tuple[dict[str, Tensor], int | None]:
    """Images of the first tasks of one seed, the one that most variants have finished; and that seed.

    So all variants show the same tasks. A variant without that seed has no images.
    """
    finished = [seed for one in made.values() for seed in one.seeds]
    if not finished:
        return {}, None
    seed = max(sorted(set(finished)), key=finished.count)
    shown = {name: one.seeds.index(seed) for name, one in made.items() if seed in one.seeds}
    kinds = ("fakes", "support", "query")
    return {
        f"{kind}/{name}": getattr(made[name], kind)[index, :SHOWN] for kind in kinds for name, index in shown.items()
    }, seed


def _rows(split: Split) -> list[int]:
    """Alphabets to show: those with enough characters, or else the largest."""
    rows, columns = EXAMPLES
    sizes = split.size.tolist()
    large = [row for row, size in enumerate(sizes) if size >= columns]
    return (large or sorted(range(len(sizes)), key=sizes.__getitem__)[::-1])[:rows]


def _examples(split: Split, alphabets: list[int]) -> Tensor:
    """Images of Fig. 3: uint8 [alphabets, characters, 28, 28], the first drawing of each character.

    The last image of a row is another drawing of its first character.
    """
    columns = min([EXAMPLES[1], *split.size[alphabets].tolist()])
    first = split.first[alphabets]
    again = split.images[first, -1][:, None]
    return torch.cat([split.images[first[:, None] + torch.arange(columns), 0], again], dim=1)
