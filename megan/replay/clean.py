"""Removes operations that need not run in a replay: dead code, constants, repetitions."""

from collections import Counter
from typing import Any

import torch

from megan.replay import call
from megan.replay.program import Operation, Program, View


def cleaned(program: Program) -> Program:
    """The same results with fewer operations."""
    return without_dead_code(with_constants(without_repeats(without_dead_code(program))))


def writers(program: Program) -> Counter[int]:
    """The number of operations that write each buffer, plus one if the buffer has contents from the start."""
    count = Counter(program.fixed())
    for operation in program.operations:
        count.update(operation.writes)
    return count


def without_dead_code(program: Program) -> Program:
    """Keep only operations that some output depends on."""
    needed, kept = {view.buffer for view in program.outputs}, []
    for operation in reversed(program.operations):
        if operation.writes & needed:
            kept.append(operation)
            needed |= operation.reads()
    constants = {buffer: value for buffer, value in program.constants.items() if buffer in needed}
    return Program(program.inputs, program.outputs, kept[::-1], program.sizes, constants)


def without_repeats(program: Program) -> Program:
    """Keep each operation once for the same arguments, if no operation writes its arguments or results again."""
    count, names = writers(program), dict[int, int]()
    first: dict[Any, Operation] = {}
    kept = []
    for operation in program.operations:
        operation = operation.renamed(names)
        if all(count[buffer] == 1 for buffer in operation.reads() | operation.writes):
            shapes = tuple(view and view.on(-1) for view in operation.outputs)
            key = _frozen((operation.target, operation.args, operation.kwargs, shapes))
            earlier = first.setdefault(key, operation)
            if earlier is not operation:
                pairs = zip(operation.outputs, earlier.outputs, strict=True)
                names |= {mine.buffer: theirs.buffer for mine, theirs in pairs if mine and theirs}
                continue
        kept.append(operation)
    outputs = tuple(view.on(names.get(view.buffer, view.buffer)) for view in program.outputs)
    return Program(program.inputs, outputs, kept, program.sizes, program.constants)


def with_constants(program: Program) -> Program:
    """Compute operations that depend on no input now, and keep their results as constants."""
    varying = {view.buffer for view in program.inputs}
    size = -1
    while size != len(varying):  # a buffer that is written later may make an earlier one vary
        size = len(varying)
        for operation in program.operations:
            if operation.is_native or (operation.reads() | operation.writes) & varying:
                varying |= operation.writes
    constants = {buffer: value.clone() for buffer, value in program.constants.items()}
    rest = []
    for operation in program.operations:
        if operation.writes & varying:
            rest.append(operation)
            continue
        for buffer in operation.writes:
            constants.setdefault(buffer, torch.zeros(program.sizes[buffer], dtype=torch.uint8))
        call.step(operation, lambda view: call.tensor(constants[view.buffer], view))()
    return Program(program.inputs, program.outputs, rest, program.sizes, constants)


def _frozen(value: Any) -> Any:
    """The value in a form that can be compared and hashed; 1 and 1.0 differ."""
    if isinstance(value, tuple | list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return tuple((key, _frozen(item)) for key, item in sorted(value.items()))
    return value if isinstance(value, View) else (type(value), value)
