"""The stage `samples`: how real, how faithful and how varied every variant's fakes are, and those that figures show.

Writes `realism.csv` (a row a variant and finished seed), `tasks.csv` (a row a variant, seed
and sampled task), `grids.safetensors` and `record.json`. Images are judged in the features of
the judge, an encoder that conditioned no generator. Reals are the query images of the same
tasks; all features are divided by the `realism.scale` of a seed's reals.

kid: `realism.kid_of_groups` over tasks; in `tasks.csv` over the classes of the task.
distance: 1 - cosine of a fake and the support image that it was made from, 0 for a copy.
Where a fake was not made from that image (other conditioning, some controls), it is the one
in its place. pixels: their root mean square difference, ink = 1.
collapse: mean cosine of the draws of one class in one task, 1 when they are identical. NaN
for fakes that have no draws, other characters.
Rows `real` hold the same of real drawings, which no fake need beat: every second drawing of
the query judged against the others, all of them for distance and collapse.
"""

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from megan import paths, progress, provenance, realism, settings, storage
from megan.data import packed
from megan.data.packed import Split
from megan.meta import prototypes, work
from megan.params import Params

REALISM = ["variant", "seed", "kid", "kid_low", "kid_high", "distance", "pixels", "collapse", "images"]
TASKS = ["variant", "seed", "task", "kid", "wasserstein"]
REAL = "real"  # in place of a variant
SHOWN = 4  # tasks in the grids
EXAMPLES = (8, 14)  # alphabets and characters of Fig. 3, as far as there are so many


@dataclass(frozen=True)
class Made:
    """One variant's samples, as `sampling.Samples` has them, and the critic's values."""

    fakes: Tensor
    support: Tensor
    query: Tensor
    seeds: list[int]
    critic: pd.DataFrame
    drawn: bool  # whether a draw is anything but the same images again


@dataclass(frozen=True)
class Reals:
    """What all variants of a seed are measured with."""

    support: np.ndarray  # [tasks, ways * shots, features]
    query: np.ndarray  # [tasks, queries, ways, features]
    kernels: np.ndarray  # [tasks, tasks]: of the query
    size: float  # by which features are divided

    @property
    def ways(self) -> int:
        return self.query.shape[2]

    @property
    def shots(self) -> int:
        return self.support.shape[1] // self.ways


def run(params: Params) -> None:
    """Judge the samples of every variant that makes fakes.

    **Raises** `StaleError` when a meta-test, the judge or the data is missing or does not fit
    the parameters.
    """
    device, started = settings.device(), time.monotonic()
    torch.set_num_threads(settings.threads())
    judge = prototypes.load(params, device, "judge")
    records = {name: _record(params, name) for name in params.variants}
    made = {name: _made(params, name) for name, record in records.items() if "samples.safetensors" in record["files"]}
    identity = {
        "parameters": {"study": params.study, **{key: getattr(params.current, key).model_dump(mode="json") for key in ("judge", "test")}},
        "data": work.data_digests(params.study, "train") | {"judge": work.read_record(paths.judge(params.study), "judge")["digest"]},
        "modules": work.modules(),
        "tested": {name: records[name]["digest"] for name in made},
    }
    progress.say(f"samples: {sum(one.fakes[..., 0, 0].numel() for one in made.values()):,} fakes of {len(made)} variants")
    measured, tasks = judged(made, judge, device)
    split = packed.load(paths.split(params.study, "train"))
    (grids, seed), alphabets = _grids(made), _rows(split)
    grids["examples"] = _examples(split, alphabets)
    with storage.replacing_folder(paths.samples(params.study)) as folder:
        measured.to_csv(folder / "realism.csv", index=False, float_format="%.9g")
        tasks.to_csv(folder / "tasks.csv", index=False, float_format="%.9g")
        save_file({name: images.contiguous() for name, images in grids.items()}, folder / "grids.safetensors")
        names = [split.alphabet_names[row] for row in alphabets]
        work.write_record(folder, identity, {"study": params.study, "variants": list(made), "seed": seed, "alphabets": names, "judge_accuracy": _knows(params)})
    machine = {"device": device, "threads": settings.threads()}
    storage.write_json(paths.provenance(params.study, "samples"), provenance.describe(machine, wall_seconds=time.monotonic() - started))


def _knows(params: Params) -> dict[str, Any]:
    """How much the judge has learned: accuracy on held-back drawings (0 to 1) of how many classes."""
    metrics = json.loads((paths.judge(params.study) / "metrics.json").read_text(encoding="utf-8"))
    return {key: metrics[key] for key in ("validation_accuracy", "classes")}


def judged(made: dict[str, Made], judge: nn.Module, device: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`realism.csv` and `tasks.csv`."""
    known: dict[tuple[int, str], Reals] = {}
    rows, tasks = [], []
    for name, one in made.items():
        for index, seed in enumerate(one.seeds):
            key = (seed, _digest(one.support[index], one.query[index]))
            if key not in known:
                known[key] = _reals(one.support[index], one.query[index], judge, device)
            reals, features = known[key], _features(one.fakes[index], judge, device) / known[key].size
            collapse = {} if one.drawn else {"collapse": float("nan")}
            pixels = {"pixels": _pixels(one.fakes[index], one.support[index]), "images": features[..., 0].size}
            rows.append({"variant": name, "seed": seed, **_realism(reals, features, seed), **pixels, **collapse})
            critic = one.critic[one.critic["seed"] == seed].sort_values("task")
            tasks.append(critic.assign(variant=name, kid=_by_task(reals, features))[TASKS])
    floor = {seed: {"variant": REAL, "seed": seed, **_floor(reals, seed)} for (seed, _), reals in reversed(known.items())}
    rows += [floor[seed] for seed in sorted(floor)]
    return pd.DataFrame(rows, columns=REALISM), pd.concat(tasks, ignore_index=True) if tasks else pd.DataFrame(columns=TASKS)


def _record(params: Params, name: str) -> dict[str, Any]:
    study = params.current
    wanted = work.parameters(params, name) | {"test_tasks": params.tier(name).test_tasks, "test": study.test.model_dump(mode="json")}
    return work.check_fits(paths.tested(params.study, name), wanted, f"test@{name}")


def _made(params: Params, name: str) -> Made:
    folder = paths.tested(params.study, name)
    tensors, critic = load_file(folder / "samples.safetensors"), pd.read_csv(folder / "critic.csv")
    return Made(tensors["fakes"], tensors["support"], tensors["query"], tensors["seeds"].tolist(), critic, params.variant(name).fake_source != "alphabet")


def _digest(*images: Tensor) -> str:
    state = hashlib.sha256()
    for some in images:
        state.update(some.contiguous().numpy())
    return state.hexdigest()


def _features(images: Tensor, judge: nn.Module, device: str) -> np.ndarray:
    """uint8 [..., 28, 28] -> float64 [..., features]."""
    rows = prototypes.features(images.flatten(0, -3).to(device), judge)
    return rows.double().cpu().numpy().reshape(*images.shape[:-2], -1)


def _reals(support: Tensor, query: Tensor, judge: nn.Module, device: str) -> Reals:
    features = _features(query, judge, device)
    size = realism.scale(features)
    features /= size
    kernels = realism.group_kernels(_of_tasks(features), _of_tasks(features))
    return Reals(_features(support, judge, device) / size, features, kernels, size)


def _of_tasks(features: np.ndarray) -> np.ndarray:
    """[tasks, draws, images, features] -> [tasks, draws * images, features]"""
    return features.reshape(len(features), -1, features.shape[-1])


def _of_classes(features: np.ndarray, ways: int, shots: int = 1) -> np.ndarray:
    """All drawings of each class together: [tasks, draws, M * ways * shots, features] -> [tasks, ways, draws * M * shots, features]"""
    tasks, draws, _, size = features.shape
    return features.reshape(tasks, draws, -1, ways, shots, size).transpose(0, 3, 1, 2, 4, 5).reshape(tasks, ways, -1, size)


def _realism(reals: Reals, fakes: np.ndarray, seed: int) -> dict[str, float]:
    """kid, its interval, distance and collapse of `fakes` [tasks, draws, M * ways * shots, features]."""
    kid = realism.kid_of_groups(realism.group_pairs(_of_tasks(reals.query), _of_tasks(fakes), reals.kernels), seed)
    sources = np.tile(reals.support, (1, fakes.shape[2] // reals.support.shape[1], 1))[:, None]
    distance = float(1 - realism.cosine(fakes, sources).mean())
    return {**_columns(kid), "distance": distance, "collapse": _collapse(_of_classes(fakes, reals.ways, reals.shots))}


def _collapse(classes: np.ndarray) -> float:
    """[tasks, ways, drawings, features]"""
    return realism.likeness(classes.reshape(-1, *classes.shape[2:]))


def _by_task(reals: Reals, fakes: np.ndarray) -> list[float]:
    """KID of each task, its classes as groups."""
    both = zip(_of_classes(reals.query, reals.ways), _of_classes(fakes, reals.ways, reals.shots), strict=True)
    return [realism.mean_of_groups(realism.group_pairs(real, fake)) for real, fake in both]


def _floor(reals: Reals, seed: int) -> dict[str, float]:
    """The measures of real drawings, each class's own in place of what was made from it."""
    query, kid = reals.query, realism.Kid(np.nan, np.nan, np.nan)
    if query.shape[1] > 1:
        kid = realism.kid_of_groups(realism.group_pairs(_of_tasks(query[:, ::2]), _of_tasks(query[:, 1::2])), seed)
    sources = reals.support[:, :: reals.shots][:, None]
    distance, collapse = float(1 - realism.cosine(query, sources).mean()), _collapse(_of_classes(query, reals.ways))
    return {**_columns(kid), "distance": distance, "pixels": float("nan"), "collapse": collapse, "images": query[..., 0].size}


def _columns(kid: realism.Kid) -> dict[str, float]:
    return {"kid": kid.estimate, "kid_low": kid.low, "kid_high": kid.high}


def _pixels(fakes: Tensor, support: Tensor) -> float:
    """Root mean square difference of each fake and its support image, as a share of ink; a mean over fakes."""
    sources = support.repeat(1, fakes.shape[2] // support.shape[1], 1, 1)[:, None]
    return float(((fakes.double() - sources.double()) / 255).square().mean(dim=(-2, -1)).sqrt().mean())


def _grids(made: dict[str, Made]) -> tuple[dict[str, Tensor], int | None]:
    """The first tasks of the one seed that most variants have finished, so that all show the same tasks; and that seed.

    A variant without that seed has no grid.
    """
    finished = [seed for one in made.values() for seed in one.seeds]
    if not finished:
        return {}, None
    seed = max(sorted(set(finished)), key=finished.count)
    shown = {name: one.seeds.index(seed) for name, one in made.items() if seed in one.seeds}
    kinds = ("fakes", "support", "query")
    return {f"{kind}/{name}": getattr(made[name], kind)[index, :SHOWN] for kind in kinds for name, index in shown.items()}, seed


def _rows(split: Split) -> list[int]:
    """Alphabets to show: those with characters enough, or else the largest."""
    rows, columns = EXAMPLES
    sizes = split.size.tolist()
    large = [row for row, size in enumerate(sizes) if size >= columns]
    return (large or sorted(range(len(sizes)), key=sizes.__getitem__)[::-1])[:rows]


def _examples(split: Split, alphabets: list[int]) -> Tensor:
    """Fig. 3: uint8 [alphabets, characters, 28, 28], the first drawing of each; the last image is another drawing of the first character."""
    columns = min([EXAMPLES[1], *split.size[alphabets].tolist()])
    first = split.first[alphabets]
    again = split.images[first, -1][:, None]
    return torch.cat([split.images[first[:, None] + torch.arange(columns), 0], again], dim=1)
