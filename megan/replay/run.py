"""Replaying a program: its buffers lie in one arena, and its operations are calls made beforehand."""

from collections.abc import Sequence

import torch
from torch import Tensor

from megan.replay import arena, call
from megan.replay.program import Program, View


class Replay:
    """A program ready to run. It owns its arena, so one thread at a time may call it."""

    def __init__(self, program: Program) -> None:
        plan = arena.plan(program)
        memory = torch.empty(plan.size + arena.ALIGNMENT, dtype=torch.uint8)
        first = -memory.data_ptr() % arena.ALIGNMENT
        self._constants = program.constants

        def place(view: View) -> Tensor:
            if view.buffer in program.constants:
                return call.tensor(program.constants[view.buffer], view)
            return call.tensor(memory, view, first + plan.starts[view.buffer])

        self._inputs = [place(view) for view in program.inputs]
        self._outputs = [place(view) for view in program.outputs]
        self._steps = [call.step(operation, place) for operation in program.operations]

    @torch.no_grad()
    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The outputs for other inputs of the recorded shapes and types."""
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value)
        for step in self._steps:
            step()
        return [value.clone() for value in self._outputs]
