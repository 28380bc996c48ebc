"""Stage `samples`: collects the measures of the fakes of every variant, and selects the images that figures show.

Writes `realism.csv` (one row for each variant and finished seed, and for each seed a row `real` with the measures
of real images), `tasks.csv` (one row for each variant, seed and sampled task) and `snapshots.csv` (one row for each
variant, seed and meta-step whose weights were kept: the realism of its fakes, and the critic's value), all from
stage `test`, `grids.safetensors` and `record.json`.

If the judge has learnt nothing, the measures in its features are left empty, and the column `judge_learnt` is False.
"""

import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from megan.config import paths
from megan.data import channels, dataset, packed
from megan.data.packed import Split
from megan.models import learnt
from megan.realism import fake_quality
from megan.runs import progress, provenance, result, storage
from megan.runs.job import Job

REAL = "real"  # instead of a variant's name
EXAMPLES = (8, 14)  # alphabets and characters of Fig. 3, or fewer if there are not so many


def run(job: Job) -> None:
    """Collect from the tests of all variants that make fakes."""
    started = time.monotonic()
    records = {name: result.load(paths.tested(job.study, name)) for name in job.params.variants}
    made = {name: paths.tested(job.study, name) for name, record in records.items() if "realism.csv" in record["files"]}
    real = _tables(made, "real.csv", fake_quality.REALISM).drop_duplicates(subset="seed").sort_values("seed")
    measured = pd.concat(
        [_tables(made, "realism.csv", fake_quality.REALISM), real.assign(variant=REAL)], ignore_index=True
    )
    tasks = _tables(made, "fakes.csv", fake_quality.TASKS)
    early = {name: folder for name, folder in made.items() if "snapshot_realism.csv" in records[name]["files"]}
    snapshots = _tables(early, "snapshot_realism.csv", fake_quality.OVER_TRAINING)
    measured, tasks, snapshots = _without_numbers_of_chance(job, measured, tasks, snapshots)
    split = packed.load(paths.split(job.study, "train"))
    (grids, seed), alphabets = _grids(made), _rows(split)
    grids |= _early_grids(early, seed)
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
    storage.write_json(job.provenance, provenance.describe({"device": "cpu"}, wall_seconds=time.monotonic() - started))


def _data(job: Job) -> dict[str, Any]:
    """The title of the data set in figures, and whether 255 is ink."""
    found = dataset.load(job.settings.data.dataset)
    return {"title": found.title, "ink": found.characters is None or found.characters.ink}


def _judge_accuracy(job: Job) -> dict[str, Any]:
    """The judge's accuracy on held-out drawings (0 to 1), the number of classes, and whether that is above chance."""
    metrics = _judge_metrics(job)
    found = {key: metrics[key] for key in ("validation_accuracy", "classes")}
    return {**found, "learnt": learnt.has_learnt(metrics)}


def _judge_metrics(job: Job) -> dict[str, Any]:
    return json.loads((paths.judge(job.study) / "metrics.json").read_text(encoding="utf-8"))


def _without_numbers_of_chance(job: Job, *tables: pd.DataFrame) -> list[pd.DataFrame]:
    """The tables with the column `judge_learnt`; without the measures in the judge's features if it has learnt nothing.

    Measures in the features of a network that guesses would have no meaning.
    """
    metrics = _judge_metrics(job)
    known = learnt.has_learnt(metrics)
    if not known:
        progress.say(
            f"samples: the judge {learnt.described(metrics)}, so KID, distance and likeness are left empty; raise"
            f" studies.{job.study}.judge.steps = {job.settings.judge.steps} in params.yaml"
        )
    kept = []
    for table in tables:
        lost = [] if known else [name for name in fake_quality.IN_FEATURES if name in table.columns]
        kept.append(table.assign(**dict.fromkeys(lost, float("nan")), judge_learnt=known))
    return kept


def _tables(made: dict[str, Path], name: str, columns: list[str]) -> pd.DataFrame:
    """The table `name` of every variant, one below the other, with a first column `variant`."""
    tables = [pd.read_csv(folder / name) for folder in made.values()]
    variants = [variant for variant, table in zip(made, tables, strict=True) for _ in range(len(table))]
    filled = [table for table in tables if len(table)]
    joined = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=columns)
    joined.insert(0, "variant", variants)
    return joined


def _grids(made: dict[str, Path]) -> tuple[dict[str, Tensor], int | None]:
    """Images of the first tasks of one seed, the one that most variants have finished; and that seed.

    So all variants show the same tasks. A variant without that seed has no images.
    """
    images = {name: load_file(folder / "shown.safetensors") for name, folder in made.items()}
    seeds = {name: some["seeds"].tolist() for name, some in images.items()}
    finished = [seed for some in seeds.values() for seed in some]
    if not finished:
        return {}, None
    seed = max(sorted(set(finished)), key=finished.count)
    kinds = ("fakes", "support", "query")
    return {
        f"{kind}/{name}": images[name][kind][some.index(seed)]
        for kind in kinds
        for name, some in seeds.items()
        if seed in some
    }, seed


def _early_grids(early: dict[str, Path], seed: int | None) -> dict[str, Tensor]:
    """Fakes of the kept meta-steps for the tasks of `_grids`: `fakes/VARIANT@STEP`."""
    found = {}
    for name, folder in early.items():
        seeds = load_file(folder / "shown.safetensors")["seeds"].tolist()
        if seed in seeds:
            for key, images in load_file(folder / "shown_snapshots.safetensors").items():
                found[f"fakes/{name}@{key.removeprefix('fakes/')}"] = images[seeds.index(seed)]
    return found


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
