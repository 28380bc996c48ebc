"""The problems of the comparison: fixed random tasks and weights, from megan's own parameters."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.contenders.problem import Problem
from megan.config import params
from megan.meta import systems
from megan.models import sizes
from megan.ops import streams


@dataclass(frozen=True)
class Kind:
    variant: str  # of params.yaml: maml | n_plus_1 | multi_task_0
    queries: int  # a class
    study: str = "omniglot"  # whose images, shots, networks and inner loop are taken

    @property
    def name(self) -> str:
        return f"{self.variant}-q{self.queries}" + ("" if self.study == "omniglot" else f"-{self.study}")

    @property
    def title(self) -> str:
        return f"{TITLES[self.variant]}, {self.queries} quer{'y' if self.queries == 1 else 'ies'} a class" + (
            "" if self.study == "omniglot" else f", study {self.study}"
        )


TITLES = {"maml": "MAML", "n_plus_1": "N+1 with a generator", "multi_task_0": "Multi-task without shared layers"}
KINDS = {kind.name: kind for kind in (Kind(variant, queries) for variant in TITLES for queries in (1, 15))}
LARGE = {  # images of 84x84 pixels
    kind.name: kind
    for kind in (
        Kind(variant, queries, study)
        for study, queries in (("mini_imagenet_cpu", 5), ("mini_imagenet", 15), ("mini_imagenet_5_shot", 15))
        for variant in ("maml", "n_plus_1")
    )
}


def write(kind: Kind, tasks: int, dtype: torch.dtype, path: Path, seed: int = 0) -> None:
    """A problem of `tasks` tasks into a file that `contenders.problem.load` reads."""
    document = params.load().model_copy(update={"study": kind.study})
    study, variant = document.current, document.variant(kind.variant)
    ways, shots, size = study.tasks.ways, study.tasks.shots, sizes.of(study)
    system = systems.build(variant, study.inner, ways, size)
    source = torch.Generator().manual_seed(seed)
    weights = {name: value[0] for name, value in system.initial_weights(torch.tensor([seed]), torch.float64).items()}
    for name, value in weights.items():
        if "gamma" in name or "beta" in name or "bias" in name:  # away from 1 and 0, where a wrong derivative can hide
            value += 0.2 * torch.randn(value.shape, generator=source, dtype=torch.float64)

    def images(count: int) -> torch.Tensor:
        return torch.rand(
            tasks, ways * count, size.side, size.side, size.channels, generator=source, dtype=torch.float64
        ).to(dtype)

    keys = torch.randint(2**62, (tasks,), generator=source)
    noise = None
    if system.makes_fakes:
        steps, fakes = study.inner.steps, ways * shots * variant.fakes_per_real
        draws = streams.normal(streams.bits(keys, steps), fakes * variant.noise_size)
        noise = draws.to(dtype).view(tasks, steps, fakes, variant.noise_size)
    label = torch.arange(ways)
    Problem(
        variant=kind.variant,
        options=variant.model_dump(mode="json"),
        sizes=asdict(size),
        ways=ways,
        steps=study.inner.steps,
        rate=study.inner.learning_rate,
        meta_batch=tasks,
        support=images(shots),
        query=images(kind.queries),
        support_labels=label.repeat_interleave(shots),
        query_labels=label.repeat_interleave(kind.queries),
        keys=keys,
        noise=noise,
        weights={name: value.to(dtype) for name, value in weights.items()},
    ).save(path)
