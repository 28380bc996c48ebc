"""A recorded computation: a flat list of operations on buffers.

A tensor is a view of a buffer. Operations that only make another view are not recorded: a later
operation contains the views that it reads.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class View:
    """The location of a tensor: its buffer, and its layout in the buffer."""

    buffer: int
    offset: int  # in elements of `dtype`, as the stride
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    def on(self, buffer: int) -> "View":
        return replace(self, buffer=buffer)

    def permuted(self, dims: Sequence[int]) -> "View":
        """The same elements with dimensions in another order."""
        shape, stride = (tuple(row[d] for d in dims) for row in (self.shape, self.stride))
        return replace(self, shape=shape, stride=stride)


@dataclass(frozen=True)
class Operation:
    """One operation: an aten overload, or the name of an operation of the native program.

    `args` and `kwargs` are the call's, with a `View` for each tensor; `outputs` are its results (None for
    one that is no tensor). `writes` are the buffers that it changes or fills.
    """

    target: Any
    args: tuple
    kwargs: dict[str, Any]
    outputs: tuple[View | None, ...]
    writes: frozenset[int]

    @property
    def is_native(self) -> bool:
        return isinstance(self.target, str)

    @property
    def output(self) -> View:
        """The first result, which is a tensor."""
        (first, *_) = self.outputs
        assert first is not None, f"{self.target} returns no tensor"
        return first

    def inputs(self) -> Iterator[View]:
        """Every view among the arguments."""
        yield from views((self.args, tuple(self.kwargs.values())))

    def reads(self) -> set[int]:
        """Buffers whose contents it needs, including those that it changes only in part."""
        return {view.buffer for view in self.inputs()}

    def renamed(self, names: dict[int, int]) -> "Operation":
        """The same operation on other buffers."""

        def other(view: View) -> View:
            return view.on(names.get(view.buffer, view.buffer))

        return Operation(
            self.target,
            mapped(other, self.args),
            {key: mapped(other, value) for key, value in self.kwargs.items()},
            mapped(other, self.outputs),
            frozenset(names.get(buffer, buffer) for buffer in self.writes),
        )


@dataclass
class Program:
    """A recording: `operations` in order, from the views `inputs` to the views `outputs`."""

    inputs: tuple[View, ...]
    outputs: tuple[View, ...]
    operations: list[Operation]
    sizes: dict[int, int]  # bytes of each buffer
    constants: dict[int, Tensor] = field(default_factory=dict)  # buffers that no run changes: flat tensors of bytes

    def fixed(self) -> set[int]:
        """Buffers that have contents before the first operation."""
        return {view.buffer for view in self.inputs} | set(self.constants)


def views(value: Any) -> Iterator[View]:
    """The views in nested tuples and lists."""
    if isinstance(value, View):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from views(item)


def mapped(change: Callable[[View], Any], value: Any) -> Any:
    """Nested tuples and lists with `change` applied to each view."""
    if isinstance(value, View):
        return change(value)
    if isinstance(value, tuple | list):
        return type(value)(mapped(change, item) for item in value)
    return value
