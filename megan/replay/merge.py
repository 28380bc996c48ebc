"""Combines additions with kernels: the sum of two convolutions is one call; a weight gradient is added to a sum."""

from collections import Counter

from megan.replay.clean import writers
from megan.replay.loops import contiguous
from megan.replay.program import Operation, Program, View

PAIRS = {"conv": "conv_pair", "conv_data_grad": "conv_data_grad_pair"}


def merged(program: Program) -> Program:
    """The same results with fewer passes over memory."""
    return _with_sums_in_place(_with_pairs(program))


def _added(operation: Operation) -> tuple[View, View] | None:
    """The two whole buffers that an operation adds; None if it does something else."""
    if operation.target != "loop" or operation.args[1] != (("add", 0, 1, 0.0),):
        return None
    first, second = operation.args[0]
    output = operation.output
    whole = all(
        view.offset == 0 and view.shape == output.shape and contiguous(view) for view in (first, second, output)
    )
    return (first, second) if whole and first.buffer != second.buffer else None


class _Waiting:
    """The operations so far. One whose result has a single reader can still be removed and combined with its reader."""

    def __init__(self, program: Program) -> None:
        self.kept: list[Operation | None] = []
        self.readers = Counter(buffer for operation in program.operations for buffer in operation.reads())
        self.readers.update(view.buffer for view in program.outputs)
        self.several = {buffer for buffer, count in writers(program).items() if count > 1}
        self._maker: dict[int, int] = {}

    def add(self, operation: Operation) -> None:
        for buffer in operation.writes:
            self._maker[buffer] = len(self.kept)
        self.kept.append(operation)

    def maker(self, view: View, targets: tuple[str, ...]) -> Operation | None:
        """The operation that made a buffer with a single reader, if its own arguments have not changed since then."""
        operation = self.kept[self._maker[view.buffer]] if view.buffer in self._maker else None
        if operation is None or operation.target not in targets or self.readers[view.buffer] != 1:
            return None
        return None if (operation.reads() | operation.writes) & self.several else operation

    def take_back(self, view: View) -> None:
        self.kept[self._maker[view.buffer]] = None


def _with_pairs(program: Program) -> Program:
    waiting = _Waiting(program)
    for operation in program.operations:
        made = None
        if added := _added(operation):
            first, second = (waiting.maker(view, tuple(PAIRS)) for view in added)
            if first and second and first.target == second.target and first.args[2:] == second.args[2:]:
                args = (*first.args[:2], *second.args[:2], *first.args[2:])
                made = Operation(PAIRS[first.target], args, {}, operation.outputs, operation.writes)
                for view in added:
                    waiting.take_back(view)
        waiting.add(made or operation)
    return _of(program, waiting, {})


def _with_sums_in_place(program: Program) -> Program:
    """Add a weight gradient to a buffer in place, if the old content of that buffer is not needed afterwards."""
    waiting, names = _Waiting(program), dict[int, int]()
    last = {buffer: index for index, operation in enumerate(program.operations) for buffer in operation.reads()}
    lasting = program.fixed() | {view.buffer for view in program.outputs}
    for index, operation in enumerate(program.operations):
        made, added = None, _added(operation)
        for gradient, total in (added, added[::-1]) if added else ():
            maker = waiting.maker(gradient, ("conv_weight_grad",))
            if maker is None or last[total.buffer] != index or total.buffer in lasting:
                continue
            place = total.on(names.get(total.buffer, total.buffer))
            waiting.take_back(gradient)
            made = Operation("conv_weight_grad_add", (*maker.args, place), {}, (place,), frozenset([place.buffer]))
            names[operation.output.buffer] = place.buffer
            waiting.several.add(place.buffer)
            break
        waiting.add(made or operation.renamed(names))
    return _of(program, waiting, names)


def _of(program: Program, waiting: _Waiting, names: dict[int, int]) -> Program:
    operations = [operation for operation in waiting.kept if operation is not None]
    outputs = tuple(view.on(names.get(view.buffer, view.buffer)) for view in program.outputs)
    return Program(program.inputs, outputs, operations, program.sizes, program.constants)
