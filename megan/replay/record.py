"""Records a computation as it runs: every operation below autograd, and every native kernel.

A buffer is identified by its storage. During recording, weak references keep the address of a
storage from being used again; they do not keep its memory.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from megan.ops import native
from megan.replay.program import Operation, Program, View, views


class Unrecordable(Exception):
    """The computation does something that cannot be recorded; the message says what."""


_RANDOM = torch.Tag.nondeterministic_seeded
_DEPENDS_ON_VALUES = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}
# They allocate memory without contents.
_EMPTY = ("aten::empty", "aten::new_empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty_strided")

# Operations whose arguments may have no contents: they fill them, or need only their shapes.
_NEED_NO_CONTENTS = (
    torch.ops.aten.copy_.default,
    torch.ops.aten.fill_.Scalar,
    torch.ops.aten.fill_.Tensor,
    torch.ops.aten.zero_.default,
    torch.ops.aten.convolution_backward.default,
)


def record(function: Callable[[Sequence[Tensor]], Sequence[Tensor]], inputs: Sequence[Tensor]) -> Program:
    """Run `function(inputs)` once and record its operations.

    Any other tensor that it reads is assumed to be constant.
    **Raises** `Unrecordable`.
    """
    recorder = _Recorder()
    inputs = [value.detach().contiguous() for value in inputs]
    placed = tuple(recorder.view(value) for value in inputs)
    recorder.given |= {view.buffer for view in placed}
    recorder.varying |= recorder.given
    with recorder, native.listening(recorder.kernel):
        outputs = [value.detach() for value in function(inputs)]
    found = tuple(recorder.view(value) for value in outputs)
    return Program(
        placed,
        found,
        recorder.operations,
        recorder.sizes,
        {buffer: value for buffer, value in recorder.outside.items() if buffer not in recorder.given},
    )


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.sizes: dict[int, int] = {}  # buffer -> bytes
        self.outside: dict[int, Tensor] = {}  # buffers that no operation made: their bytes
        self.varying: set[int] = set()  # buffers whose contents depend on the inputs
        self.given: set[int] = set()  # the inputs' buffers
        self._written: set[int] = set()  # buffers that an operation has filled or changed
        self._buffers: dict[int, int] = {}  # storage -> buffer
        self._held: list[Any] = []  # weak references to storages

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing here is compiled; torch would import its compiler, which takes most of a second

    def view(self, tensor: Tensor, fresh: bool = False) -> View:
        """The location of a tensor. A storage that is not known yet is an operation's output or comes from outside."""
        if not tensor.is_cpu or tensor.layout is not torch.strided or tensor.is_conj() or tensor.is_neg():
            raise Unrecordable(f"a tensor on {tensor.device} with layout {tensor.layout}")
        storage = tensor.untyped_storage()
        buffer = self._buffers.get(storage._cdata)
        if buffer is None:
            buffer = self._buffers[storage._cdata] = len(self.sizes)
            self.sizes[buffer] = storage.nbytes()
            self._held.append(StorageWeakRef(storage))
            if not fresh:
                self.outside[buffer] = torch.empty(0, dtype=torch.uint8).set_(storage)
        return View(buffer, int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride(), tensor.dtype)

    def _known(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.view(value)
        return type(value)(self._known(item) for item in value) if isinstance(value, tuple | list) else value

    def kernel(
        self, name: str, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor], numbers: Sequence[float]
    ) -> None:
        args = self._known((*inputs, *numbers))
        found = tuple(self.view(value, fresh=True) for value in outputs)
        self._add(Operation(name, args, {}, found, frozenset(view.buffer for view in found)))

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        before = self._known(args), {name: self._known(value) for name, value in kwargs.items()}
        if _RANDOM in func.tags or (_DEPENDS_ON_VALUES & set(func.tags) and self._decides(func, before[0])):
            raise Unrecordable(f"{func} may give another result, or another shape, at another time")
        known = len(self.sizes)
        result = func(*args, **kwargs)
        returned = result if isinstance(result, tuple | list) else (result,)
        outputs = tuple(self.view(value, fresh=True) if isinstance(value, Tensor) else None for value in returned)
        writes = frozenset(
            {view.buffer for view in outputs if view is not None and view.buffer >= known} | self._changed(func, before)
        )
        if writes and not func._schema.name.startswith(_EMPTY):
            self._add(Operation(func, *before, outputs, writes))
        return result

    def _decides(self, func: Any, args: tuple) -> bool:
        """Whether the shape of an operation's result, or which operations follow, depends on values of the inputs."""
        deciding = views(args)
        if func is torch.ops.aten.index.Tensor:  # only masks decide how many elements are picked
            deciding = (view for view in views(args[1]) if view.dtype in (torch.bool, torch.uint8))
        return any(view.buffer in self.varying for view in deciding)

    def _add(self, operation: Operation) -> None:
        if operation.writes & (self.outside.keys() - self.given):
            raise Unrecordable(f"{operation.target} changes a tensor that was made elsewhere, before the recording")
        unknown = operation.reads() - self._written - self.outside.keys() - self.given
        if unknown and operation.target not in _NEED_NO_CONTENTS:
            raise Unrecordable(f"{operation.target} reads memory written by an operation that was not seen")
        self.operations.append(operation)
        self._written |= operation.writes
        if operation.reads() & self.varying:
            self.varying |= operation.writes

    @staticmethod
    def _changed(func: Any, before: tuple[tuple, dict[str, Any]]) -> set[int]:
        """Buffers of the arguments that the schema says are written."""
        args, kwargs = before
        found = set()
        for index, argument in enumerate(func._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                value = kwargs.get(argument.name, args[index] if index < len(args) else None)
                found |= {item.buffer for item in (value if isinstance(value, tuple | list) else [value]) if item}
        return found
