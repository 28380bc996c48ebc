"""How realistic, faithful and diverse the fakes of a variant are, in the features of the judge.

Reals are the query images of the same tasks. All features are divided by the `measures.scale`
of the reals of a seed.

kid: `measures.kid_of_groups` over tasks; in `Judged.tasks` over the classes of the task.
distance: 1 - cosine between a fake and the support image that it was made from; 0 for a copy.
A fake that was not made from an image (other conditioning, some controls) is compared with
the support image at its position. pixels: their root mean square difference, with ink = 1.
collapse: mean cosine between the draws of one class in one task; 1 if they are identical. NaN
if there are no different draws, as for other characters.
`Judged.real` holds the same measures of real drawings, as a reference. kid compares every second
query drawing with the others. distance and collapse use all query drawings.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from megan.data import channels
from megan.realism import measures

REALISM = ["seed", "kid", "kid_low", "kid_high", "distance", "pixels", "collapse", "images"]
TASKS = ["seed", "task", "kid", "wasserstein"]
OVER_TRAINING = ["seed", "meta_step", *REALISM[1:], "wasserstein"]
IN_FEATURES = ["kid", "kid_low", "kid_high", "distance", "collapse"]  # these use the judge
Embed = Callable[[Tensor], Tensor]  # uint8 [images, side, side, channels] -> features [images, features]


@dataclass(frozen=True)
class Made:
    """One variant's samples, as `generation.Samples` has them."""

    fakes: Tensor
    support: Tensor
    query: Tensor
    wasserstein: Tensor
    seeds: list[int]
    drawn: bool  # whether the draws differ from each other


@dataclass(frozen=True)
class Judged:
    fakes: pd.DataFrame  # columns REALISM, one row for each seed
    real: pd.DataFrame  # the same of real drawings
    tasks: pd.DataFrame  # columns TASKS, one row for each seed and task


@dataclass(frozen=True)
class Reals:
    """Features of the real images of a seed."""

    support: np.ndarray  # [tasks, ways * shots, features]
    query: np.ndarray  # [tasks, queries, ways, features]
    kernels: np.ndarray  # [tasks, tasks]: of the query
    size: float  # scale by which features are divided

    @property
    def ways(self) -> int:
        return self.query.shape[2]

    @property
    def shots(self) -> int:
        return self.support.shape[1] // self.ways


def judged(made: Made, embed: Embed) -> Judged:
    """Measure the fakes of each seed against the real images of the same tasks."""
    fakes, real, tasks = [], [], []
    for index, seed in enumerate(made.seeds):
        support = made.support[index]
        reals = _reals(support, made.query[index], embed)
        features = _features(made.fakes[index], embed) / reals.size
        collapse = {} if made.drawn else {"collapse": float("nan")}
        pixels = {"pixels": _pixels(made.fakes[index], support), "images": features[..., 0].size}
        fakes.append({"seed": seed, **_realism(reals, features, seed), **pixels, **collapse})
        real.append({"seed": seed, **_floor(reals, seed)})
        values = zip(_by_task(reals, features), made.wasserstein[index].tolist(), strict=True)
        tasks += [(seed, task, *pair) for task, pair in enumerate(values)]
    return Judged(
        pd.DataFrame(fakes, columns=REALISM), pd.DataFrame(real, columns=REALISM), pd.DataFrame(tasks, columns=TASKS)
    )


def _features(images: Tensor, embed: Embed) -> np.ndarray:
    """uint8 images, as a file keeps them -> float64 [..., features]."""
    images = channels.with_axis(images)
    rows = embed(images.flatten(0, -4))
    return rows.double().cpu().numpy().reshape(*images.shape[:-3], -1)


def _reals(support: Tensor, query: Tensor, embed: Embed) -> Reals:
    features = _features(query, embed)
    size = measures.scale(features)
    features /= size
    kernels = measures.group_kernels(_of_tasks(features), _of_tasks(features))
    return Reals(_features(support, embed) / size, features, kernels, size)


def _of_tasks(features: np.ndarray) -> np.ndarray:
    """[tasks, draws, images, features] -> [tasks, draws * images, features]"""
    return features.reshape(len(features), -1, features.shape[-1])


def _of_classes(features: np.ndarray, ways: int, shots: int = 1) -> np.ndarray:
    """All drawings of each class together.

    [tasks, draws, M * ways * shots, features] -> [tasks, ways, draws * M * shots, features]
    """
    tasks, draws, _, size = features.shape
    return (
        features.reshape(tasks, draws, -1, ways, shots, size).transpose(0, 3, 1, 2, 4, 5).reshape(tasks, ways, -1, size)
    )


def _realism(reals: Reals, fakes: np.ndarray, seed: int) -> dict[str, float]:
    """kid, its interval, distance and collapse of `fakes` [tasks, draws, M * ways * shots, features]."""
    kid = measures.kid_of_groups(measures.group_pairs(_of_tasks(reals.query), _of_tasks(fakes), reals.kernels), seed)
    sources = np.tile(reals.support, (1, fakes.shape[2] // reals.support.shape[1], 1))[:, None]
    distance = float(1 - measures.cosine(fakes, sources).mean())
    return {**_columns(kid), "distance": distance, "collapse": _collapse(_of_classes(fakes, reals.ways, reals.shots))}


def _collapse(classes: np.ndarray) -> float:
    """[tasks, ways, drawings, features]"""
    return measures.likeness(classes.reshape(-1, *classes.shape[2:]))


def _by_task(reals: Reals, fakes: np.ndarray) -> list[float]:
    """KID of each task, its classes as groups."""
    both = zip(_of_classes(reals.query, reals.ways), _of_classes(fakes, reals.ways, reals.shots), strict=True)
    return [measures.mean_of_groups(measures.group_pairs(real, fake)) for real, fake in both]


def _floor(reals: Reals, seed: int) -> dict[str, float]:
    """The measures of real drawings, with drawings of a class instead of its fakes."""
    query, kid = reals.query, measures.Kid(np.nan, np.nan, np.nan)
    if query.shape[1] > 1:
        kid = measures.kid_of_groups(measures.group_pairs(_of_tasks(query[:, ::2]), _of_tasks(query[:, 1::2])), seed)
    sources = reals.support[:, :: reals.shots][:, None]
    distance, collapse = float(1 - measures.cosine(query, sources).mean()), _collapse(_of_classes(query, reals.ways))
    return {
        **_columns(kid),
        "distance": distance,
        "pixels": float("nan"),
        "collapse": collapse,
        "images": query[..., 0].size,
    }


def _columns(kid: measures.Kid) -> dict[str, float]:
    return {"kid": kid.estimate, "kid_low": kid.low, "kid_high": kid.high}


def _pixels(fakes: Tensor, support: Tensor) -> float:
    """Root mean square difference of each fake and its support image, with ink = 1; mean over fakes."""
    fakes, support = channels.with_axis(fakes), channels.with_axis(support)
    sources = support.repeat(1, fakes.shape[2] // support.shape[1], 1, 1, 1)[:, None]
    return float(((fakes.double() - sources.double()) / 255).square().mean(dim=(-3, -2, -1)).sqrt().mean())
