"""The problems of the comparison: fixed random tasks and weights, from megan's own parameters."""

from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.contenders.ours import SIZES
from benchmarks.contenders.problem import Problem
from megan.config import params
from megan.meta import systems
from megan.ops import streams

WAYS, SHOTS, STEPS, RATE = 5, 1, 5, 0.4


@dataclass(frozen=True)
class Kind:
    approach: str  # maml | n_plus_1
    queries: int  # a class

    @property
    def name(self) -> str:
        return f"{self.approach}-q{self.queries}"

    @property
    def title(self) -> str:
        return (
            f"{'MAML' if self.approach == 'maml' else 'N+1 with a generator'},"
            f" {self.queries} quer{'y' if self.queries == 1 else 'ies'} a class"
        )


KINDS = {kind.name: kind for kind in (Kind("maml", 1), Kind("maml", 15), Kind("n_plus_1", 1), Kind("n_plus_1", 15))}


def write(kind: Kind, tasks: int, dtype: torch.dtype, path: Path, seed: int = 0) -> None:
    """A problem of `tasks` tasks into a file that `contenders.problem.load` reads."""
    variant = params.load().variant(kind.approach)
    inner = params.Inner(steps=STEPS, test_steps=STEPS, learning_rate=RATE, first_order=False)
    system = systems.build(variant, inner, WAYS, SIZES)
    source = torch.Generator().manual_seed(seed)
    weights = {name: value[0] for name, value in system.initial_weights(torch.tensor([seed]), torch.float64).items()}
    for name, value in weights.items():
        if "gamma" in name or "beta" in name or "bias" in name:  # away from 1 and 0, where a wrong derivative can hide
            value += 0.2 * torch.randn(value.shape, generator=source, dtype=torch.float64)

    def images(count: int) -> torch.Tensor:
        return torch.rand(
            tasks, WAYS * count, SIZES.side, SIZES.side, SIZES.channels, generator=source, dtype=torch.float64
        ).to(dtype)

    keys = torch.randint(2**62, (tasks,), generator=source)
    noise = None
    if kind.approach == "n_plus_1":
        fakes = WAYS * SHOTS * variant.fakes_per_real
        draws = streams.normal(streams.bits(keys, STEPS), fakes * variant.noise_size)
        noise = draws.to(dtype).view(tasks, STEPS, fakes, variant.noise_size)
    label = torch.arange(WAYS)
    Problem(
        approach=kind.approach,
        options=variant.model_dump(mode="json"),
        ways=WAYS,
        steps=STEPS,
        rate=RATE,
        meta_batch=tasks,
        support=images(SHOTS),
        query=images(kind.queries),
        support_labels=label.repeat_interleave(SHOTS),
        query_labels=label.repeat_interleave(kind.queries),
        keys=keys,
        noise=noise,
        weights={name: value.to(dtype) for name, value in weights.items()},
    ).save(path)
