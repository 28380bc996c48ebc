"""One piece of memory for all buffers of a program. Two buffers overlap if they are never needed at the same time."""

from bisect import bisect_left, insort
from dataclasses import dataclass

from megan.replay.program import Program

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


@dataclass(frozen=True)
class Plan:
    """Where each buffer begins, in bytes, and how many bytes there are in all."""

    starts: dict[int, int]
    size: int


def lifetimes(program: Program) -> dict[int, tuple[int, int]]:
    """The first and last operation, by number, that needs each buffer. Inputs are needed before the first one.

    Constants have memory of their own.
    """
    found: dict[int, tuple[int, int]] = {view.buffer: (-1, -1) for view in program.inputs}
    for number, operation in enumerate(program.operations):
        for buffer in operation.reads() | operation.writes:
            found[buffer] = (found.get(buffer, (number, 0))[0], number)
    for view in program.outputs:
        found[view.buffer] = (found.get(view.buffer, (-1, 0))[0], len(program.operations))
    return {buffer: span for buffer, span in found.items() if buffer not in program.constants}


def plan(program: Program) -> Plan:
    """Put each buffer into the smallest gap that is large enough when the buffer is first needed."""
    spans = lifetimes(program)
    begin: dict[int, list[int]] = {}
    end: dict[int, list[int]] = {}
    for buffer, (first, last) in spans.items():
        begin.setdefault(first, []).append(buffer)
        end.setdefault(last, []).append(buffer)
    free, starts = _Free(), dict[int, int]()
    for number in range(-1, len(program.operations) + 1):
        for buffer in begin.get(number, ()):
            starts[buffer] = free.take(_rounded(program.sizes[buffer]))
        for buffer in end.get(number, ()):
            free.give(starts[buffer], _rounded(program.sizes[buffer]))
    return Plan(starts, free.end)


def _rounded(size: int) -> int:
    return max(1, -(-size // ALIGNMENT)) * ALIGNMENT


class _Free:
    """Gaps by their start, none touching another; memory grows at its end."""

    def __init__(self) -> None:
        self.end = 0
        self._gaps: list[tuple[int, int]] = []  # start, size

    def take(self, size: int) -> int:
        fitting = [(gap[1], gap[0]) for gap in self._gaps if gap[1] >= size]
        if fitting:
            most, start = min(fitting)
            self._gaps.remove((start, most))
            if most > size:
                insort(self._gaps, (start + size, most - size))
            return start
        start = self.end
        if self._gaps and sum(self._gaps[-1]) == self.end:  # extend the last gap
            start = self._gaps.pop()[0]
        self.end = start + size
        return start

    def give(self, start: int, size: int) -> None:
        index = bisect_left(self._gaps, (start, size))
        if index < len(self._gaps) and self._gaps[index][0] == start + size:
            size += self._gaps.pop(index)[1]
        if index and sum(self._gaps[index - 1]) == start:
            before = self._gaps.pop(index - 1)
            start, size = before[0], before[1] + size
        insort(self._gaps, (start, size))
