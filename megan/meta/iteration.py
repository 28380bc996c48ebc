"""One meta-iteration: sample tasks, adapt, outer gradient, Adam. Nothing in it waits for the device.

On CUDA the whole iteration is captured once as a graph and then replayed (`capture`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from megan.config.params import Train
from megan.data.episodes import Episodes, Sampler
from megan.meta import capture, gradient, optimise
from megan.meta.gradient import Outer
from megan.meta.parallel import Chunk, Workers, is_out_of_memory
from megan.meta.processes import Tensors
from megan.meta.replayed import LONG_TRAINING, ChunkWork, replayed
from megan.meta.system import System
from megan.models.initial import Weights


class State(dict[str, Tensor]):
    """All that training changes, by name. Everything but `step` has a leading seed axis.

    `theta/...`, `first/...`, `second/...` (Adam's moments), `step` int64 scalar, `alive`
    bool [seeds], `diverged_step` int64 [seeds], `diverged_loss` float64 [seeds], and
    `loss`, `accuracy`, `fake_wins` float64 [seeds]: sums since they were last read.
    """

    @classmethod
    def fresh(cls, system: System, seeds: Tensor, dtype: torch.dtype) -> "State":
        state = cls()
        for name, weight in system.initial_weights(seeds, dtype).items():
            state[f"theta/{name}"] = weight
            state[f"first/{name}"] = torch.zeros_like(weight)
            state[f"second/{name}"] = torch.zeros_like(weight)
        count = len(seeds)
        state["step"] = torch.zeros((), dtype=torch.int64, device=seeds.device)
        state["alive"] = torch.ones(count, dtype=torch.bool, device=seeds.device)
        state["diverged_step"] = torch.full((count,), -1, dtype=torch.int64, device=seeds.device)
        for name in ("diverged_loss", "loss", "accuracy", "fake_wins"):
            state[name] = torch.zeros(count, dtype=torch.float64, device=seeds.device)
        return state

    def part(self, prefix: str) -> dict[str, Tensor]:
        """`theta`, `first` or `second`: the weights or a moment, without the prefix."""
        return {name.partition("/")[2]: value for name, value in self.items() if name.startswith(f"{prefix}/")}

    def assign(self, other: dict[str, Tensor]) -> None:
        """Copy values in place, so that a captured graph continues with them."""
        for name, value in self.items():
            value.copy_(other[name])

    def snapshot(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.items()}


@dataclass(frozen=True)
class OuterLoop:
    """The parameters of the outer loop."""

    train: Train
    queries: int  # for each class, in meta-training
    meta_steps: int


def iteration(
    system: System, sampler: Sampler, seeds: Tensor, loop: OuterLoop, state: State, workers: Workers
) -> Callable[[], None]:
    """A function that advances `state` by one meta-iteration in place."""
    workers.share(state)
    batch = loop.train.meta_batch
    groups = workers.seed_groups(len(seeds))

    def inputs(chunk: Chunk) -> tuple[Weights, Episodes]:
        group, numbers = chunk[0], workers.numbers(chunk[1])
        sampled = sampler.sample(seeds[group], "train", state["step"], numbers, loop.queries)
        return {name: weight[group] for name, weight in state.part("theta").items()}, sampled

    def share(weights: Weights, episodes: Episodes) -> Tensors:
        return gradient.outer_gradient(system, weights, episodes, batch).tensors()

    chunk_gradient = ChunkWork(inputs, replayed(share, gradient.joined, workers, loop.meta_steps >= LONG_TRAINING))

    def advance() -> None:
        outer = gradient.stacked(
            [gradient.summed(map(Outer.of, chunks)) for chunks in workers.map_chunks(chunk_gradient, groups, batch)]
        )
        healthy = optimise.finite(outer.gradient, outer.loss)
        alive = state["alive"] & healthy
        newly = state["alive"] & ~healthy
        state["diverged_step"].copy_(torch.where(newly, state["step"], state["diverged_step"]))
        state["diverged_loss"].copy_(torch.where(newly, outer.loss, state["diverged_loss"]))
        state["alive"].copy_(alive)
        rate = optimise.learning_rate(state["step"], loop.meta_steps, loop.train.learning_rate, loop.train.schedule)
        optimise.adam(
            state.part("theta"), (state.part("first"), state.part("second")), outer.gradient, state["step"], rate, alive
        )
        for name in ("loss", "accuracy", "fake_wins"):
            state[name].add_(getattr(outer, name))
        state["step"].add_(1)

    if workers.is_cpu:
        return advance
    while True:
        try:
            return capture.captured(advance, state)
        except RuntimeError as error:  # a graph holds all its tensors at once
            if not is_out_of_memory(error):
                raise
        workers.lower_chunk(workers.chunk_size(batch))
