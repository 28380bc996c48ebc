"""How large each part's work is, and a meta-iteration to measure."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.scaling import WAYS, random_split
from megan.config import params
from megan.data.episodes import Sampler
from megan.meta import systems
from megan.meta.iteration import OuterLoop, State, iteration
from megan.meta.parallel import Workers
from megan.meta.systems import System
from megan.models import sizes
from megan.ops import precision

RATE = 0.4  # of the inner step


@dataclass(frozen=True)
class Size:
    """How much is done; `FULL` on a GPU, less in tests."""

    tasks: int = 32  # meta-batch
    steps: int = 5  # inner
    queries: tuple[int, ...] = (1, 15)  # a class
    seeds: tuple[int, ...] = (1, 5)
    evaluated: int = 2000  # tasks a seed
    seconds: float = 2.0  # of each timing
    rounds: int = 1  # of the peers
    contenders: tuple[str, ...] = ("megan", "loop", "learn2learn", "higher", "torchopt", "vmap", "vmap-chunks")


FULL = Size()
KINDS = {  # of variant: between them all that the engine does differently
    "maml": {"approach": "maml"},
    "n_plus_1": {"approach": "n_plus_1"},
    "hybrid": {"approach": "n_plus_1", "generator_outer_loss": "fooling"},
    "clipped": {"approach": "n_plus_1", "gan_loss": "wasserstein", "conditioning": "label"},
    "penalty": {"approach": "multi_task", "gan_loss": "wasserstein_gp", "condition_discriminator": True},
    "shared": {
        "approach": "multi_task",
        "shared_layers": 2,
        "outer_fake_weight": 0.5,
        "generator": "fcn",
        "skip": True,
    },
}


@dataclass
class Iteration:
    """A meta-iteration on a device, and the state that it changes."""

    state: State
    advance: Callable[[], None]


def system(kind: str, size: Size) -> System:
    defaults = params.read()["variant_defaults"]
    options = {**defaults, "tier": "headline", "label": kind, "colour": "#000000", **KINDS[kind]}
    inner = params.Inner(steps=size.steps, test_steps=size.steps, learning_rate=RATE, first_order=False)
    return systems.build(params.Variant(**options), inner, WAYS, sizes.of(params.load().current))


def sampler(chosen: System, device: str, dtype: torch.dtype) -> Sampler:
    return Sampler(random_split(device), WAYS, 1, "any", chosen.others, dtype)


def build(kind: str, size: Size, device: str, queries: int, seeds: int, numbers: str) -> Iteration:
    """**Arguments** `queries` a class; `seeds` how many; `numbers` as `train.precision`."""
    dtype, chosen = precision.use(numbers), system(kind, size)
    keys = torch.arange(seeds, device=device)
    state = State.fresh(chosen, keys, dtype)
    train = params.load().current.train.model_copy(update={"meta_batch": size.tasks})
    loop = OuterLoop(train, queries, 1000)
    return Iteration(
        state,
        iteration(chosen, sampler(chosen, device, dtype), keys, loop, state, Workers(device=device, threads=1)),
    )


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def forget_memory(device: str) -> None:
    if device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: str) -> str:
    """MiB that the allocator has held at most since `forget_memory`: what a graph keeps is reserved, not allocated."""
    return f"{torch.cuda.max_memory_reserved(device) / 2**20:.0f}" if device != "cpu" else "-"
