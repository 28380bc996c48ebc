"""Replays a program: its buffers are in one arena, and the calls of its operations are prepared beforehand."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from megan.ops import native
from megan.replay import arena, call
from megan.replay.lower import lowered
from megan.replay.merge import merged
from megan.replay.program import Operation, Program, View
from megan.replay.words import known, words


class Replay:
    """A program ready to run. It owns its arena, so one thread at a time may call it."""

    def __init__(self, program: Program) -> None:
        if native.available():
            program = merged(lowered(program))
        plan = arena.plan(program)
        memory = torch.empty(plan.size + arena.ALIGNMENT, dtype=torch.uint8)
        first = -memory.data_ptr() % arena.ALIGNMENT
        self._held: list[Any] = [program.constants]  # kept in memory, since steps have only its address

        def place(view: View) -> Tensor:
            if view.buffer in program.constants:
                return call.tensor(program.constants[view.buffer], view)
            return call.tensor(memory, view, first + plan.starts[view.buffer])

        self._inputs = [place(view) for view in program.inputs]
        self._outputs = [place(view) for view in program.outputs]
        self._steps: list[Callable[[], Any]] = []
        for together, run in itertools.groupby(program.operations, known):
            if together:
                self._steps.append(self._instructions(list(run), place))
            else:
                self._steps += [call.step(operation, place) for operation in run]

    def _instructions(self, operations: list[Operation], place: call.Place) -> Callable[[], None]:
        """Operations of the native program as one call."""
        rows = [words(operation, lambda view: place(view).data_ptr()) for operation in operations]
        program = torch.tensor([word for row in rows for word in row], dtype=torch.int64)
        self._held.append(program)
        begin = program.data_ptr()
        return functools.partial(_run, native.function("run_program"), begin, begin + program.nbytes)

    @torch.no_grad()
    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The outputs for other inputs of the recorded shapes and types."""
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value)
        for step in self._steps:
            step()
        return [value.clone() for value in self._outputs]


def _run(function: Any, begin: int, end: int) -> None:
    if function(begin, end):
        raise MemoryError("a recorded program: no memory for intermediate values")
