"""How realistic, faithful and diverse the fakes of each variant are, in the features of the judge.

Reals are the query images of the same tasks. All features are divided by the `measures.scale`
of the reals of a seed.

kid: `measures.kid_of_groups` over tasks; in `tasks.csv` over the classes of the task.
distance: 1 - cosine between a fake and the support image that it was made from; 0 for a copy.
A fake that was not made from an image (other conditioning, some controls) is compared with
the support image at its position. pixels: their root mean square difference, with ink = 1.
collapse: mean cosine between the draws of one class in one task; 1 if they are identical. NaN
if there are no different draws, as for other characters.
Rows `real` hold the same measures of real drawings, as a reference. kid compares every second
query drawing with the others. distance and collapse use all query drawings.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor, nn

from megan.data import channels
from megan.models import encoder
from megan.realism import measures

REALISM = ["variant", "seed", "kid", "kid_low", "kid_high", "distance", "pixels", "collapse", "images"]
IN_FEATURES = ["kid", "kid_low", "kid_high", "distance", "collapse"]  # these use the judge
TASKS = ["variant", "seed", "task", "kid", "wasserstein"]
REAL = "real"  # instead of a variant's name


@dataclass(frozen=True)
class Made:
    """One variant's samples, as `generation.Samples` has them, and the critic's values."""

    fakes: Tensor
    support: Tensor
    query: Tensor
    seeds: list[int]
    critic: pd.DataFrame
    drawn: bool  # whether the draws differ from each other


@dataclass(frozen=True)
class Reals:
    """Real images of a seed, used to measure all variants."""

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
    floor = {
        seed: {"variant": REAL, "seed": seed, **_floor(reals, seed)} for (seed, _), reals in reversed(known.items())
    }
    rows += [floor[seed] for seed in sorted(floor)]
    return pd.DataFrame(rows, columns=REALISM), pd.concat(tasks, ignore_index=True) if tasks else pd.DataFrame(
        columns=TASKS
    )


def _digest(*images: Tensor) -> str:
    state = hashlib.sha256()
    for some in images:
        state.update(some.contiguous().numpy().data)
    return state.hexdigest()


def _features(images: Tensor, judge: nn.Module, device: str) -> np.ndarray:
    """uint8 images, as a file keeps them -> float64 [..., features]."""
    images = channels.with_axis(images)
    rows = encoder.embed(images.flatten(0, -4).to(device), judge)
    return rows.double().cpu().numpy().reshape(*images.shape[:-3], -1)


def _reals(support: Tensor, query: Tensor, judge: nn.Module, device: str) -> Reals:
    features = _features(query, judge, device)
    size = measures.scale(features)
    features /= size
    kernels = measures.group_kernels(_of_tasks(features), _of_tasks(features))
    return Reals(_features(support, judge, device) / size, features, kernels, size)


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
