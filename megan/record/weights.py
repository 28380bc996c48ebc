"""The weights that a record contains: of the best seed, in half precision where that changes no prediction."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megan.config import paths
from megan.config.params import Params
from megan.record.manifest import MIB, RecordError
from megan.runs import result

BEST = ("maml", "n_plus_1")  # variants whose weights a record may contain
LEAST = 1000  # predictions on validation tasks that half precision must leave as they are
HALF, FULL = "float16", "float32"


@dataclass(frozen=True)
class Weights:
    """A file of weights, and what the manifest says about it.

    `about`: `seed` and `meta_step` of the weights, `dtype`, and the measurement that chose it: of `predictions` on
    validation tasks, `changed` are others if the weights are rounded to float16.
    """

    packed: bytes
    about: dict[str, Any]


def best_checkpoint(folder: Path, made: dict[str, Any]) -> Any | None:
    """The row of `curve.csv` at which a finished seed did best on validation tasks; None if there is none.

    **Arguments** `folder` of a trained variant; `made`: its `record.json`.
    """
    import pandas

    curve = pandas.read_csv(folder / "curve.csv").query("split == 'validation'")
    curve = curve[[str(seed) not in made["diverged"] for seed in curve["seed"]]]
    return None if curve.empty else curve.loc[curve["accuracy"].idxmax()]


def best(params: Params, most_mib: float, trained: Collection[str] = BEST) -> dict[str, Weights]:
    """For each of `BEST` that is trained, the weights of the seed with the best validation accuracy.

    **Raises** `RecordError` if they take more than `most_mib` together.
    """
    found = {}
    for name in (name for name in BEST if name in params.variants and name in trained):
        made = result.load(paths.trained(params.study, name))
        row = best_checkpoint(paths.trained(params.study, name), made)
        if row is not None:
            found[name] = _packed(params, name, made, row)
    size = sum(len(one.packed) for one in found.values()) / MIB
    if size > most_mib:
        raise RecordError(
            f"the weights of {' and '.join(found)} have {size:.1f} MiB, more than --weights {most_mib:g};"
            " give a larger number, or omit the option"
        )
    return found


def _packed(params: Params, name: str, made: dict[str, Any], row: Any) -> Weights:
    """The weights of the seed in `row`, without the seed axis."""
    from safetensors.torch import load_file, save

    seed = int(row["seed"])
    index = made["seeds"].index(seed)
    whole = load_file(paths.trained(params.study, name) / "weights.safetensors")
    weights = {key: value[index].clone() for key, value in whole.items()}
    predictions, changed = _measured(params, name, seed, weights)
    dtype = FULL if changed else HALF
    about = {
        "seed": seed,
        "meta_step": int(made["best_meta_step"].get(str(seed), row["meta_step"])),
        "dtype": dtype,
        "predictions": predictions,
        "changed": changed,
    }
    kept = weights if changed else {key: value.half() for key, value in weights.items()}
    told = {"study": params.study, "variant": name, "validation_accuracy": repr(float(row["accuracy"]))}
    return Weights(save(kept, told | {key: str(value) for key, value in about.items()}), about)


def _measured(params: Params, name: str, seed: int, weights: dict[str, Any]) -> tuple[int, int]:
    """How many predictions on validation tasks were compared, and how many change with weights rounded to float16.

    **Arguments** `weights` [...] each, of one seed.
    """
    import torch

    from megan.data.episodes import TaskSet
    from megan.meta import setup
    from megan.meta.adapt import trajectory

    workers, tasks = setup.workers(params), params.current.tasks
    count = math.ceil(LEAST / (tasks.ways * tasks.test_queries))
    sampler, system = setup.sampler(params, name, "validation", workers), setup.system(params, name)
    seeds = torch.tensor([seed], device=workers.device)
    drawn = TaskSet(sampler, seeds, "validation", count, tasks.test_queries)

    def predicted(own: dict[str, Any], number: int) -> torch.Tensor:
        episodes = drawn.sample(slice(0, 1), workers.numbers(range(number, number + 1)))
        start, steps = {key: value[None].to(workers.device) for key, value in own.items()}, system.inner.test_steps
        *_, adapted = trajectory(system, start, episodes, steps, differentiable=False)
        with torch.no_grad():
            return system.answer(adapted, episodes, steps)[0].argmax(dim=-1)

    rounded = {key: value.half().to(value.dtype) for key, value in weights.items()}
    pairs = [(predicted(weights, number), predicted(rounded, number)) for number in range(count)]
    return sum(len(exact) for exact, _ in pairs), sum(int((exact != near).sum()) for exact, near in pairs)
