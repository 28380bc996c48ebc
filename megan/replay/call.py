"""Calls of single recorded operations, which write their results to memory that was assigned beforehand."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from megan.ops import native
from megan.replay.program import Operation, View, mapped

Place = Callable[[View], Tensor]

_LAYOUT = ("dtype", "layout", "device", "pin_memory", "memory_format")


def tensor(content: Tensor, view: View, start: int = 0) -> Tensor:
    """The tensor of a view whose buffer begins at byte `start` of `content`, a flat tensor of bytes."""
    first = (content.storage_offset() + start) // view.dtype.itemsize
    made = torch.empty(0, dtype=view.dtype)
    return made.set_(content.untyped_storage(), first + view.offset, view.shape, view.stride)


def step(operation: Operation, place: Place) -> Callable[[], Any]:
    """The operation as a function without arguments. `place` gives the tensor of each of its views."""
    args = mapped(place, operation.args)
    kwargs = {name: mapped(place, value) for name, value in operation.kwargs.items()}
    outputs = [place(view) for view in operation.outputs if view is not None]
    if operation.is_native:
        return _kernel(operation, args, outputs)
    if operation.writes & operation.reads():  # in place: the results are arguments
        return functools.partial(operation.target, *args, **kwargs)
    if operation.target is torch.ops.aten.clone.default:
        return functools.partial(outputs[0].copy_, args[0])
    if operation.target._schema.name in ("aten::zeros", "aten::zeros_like", "aten::new_zeros"):
        return outputs[0].zero_
    into = into_places(operation.target)
    if into and len(out_names(into)) == len(outputs):
        places = dict(zip(out_names(into), outputs, strict=True))
        return functools.partial(into, *args, **_without_layout(kwargs), **places)
    return functools.partial(_copied, functools.partial(operation.target, *args, **kwargs), outputs)


def _kernel(operation: Operation, args: tuple, outputs: list[Tensor]) -> Callable[[], Any]:
    function = native.function(operation.target, outputs[0].dtype)
    pointers = [value.data_ptr() if isinstance(value, Tensor) else value for value in args]
    split = next(index for index in range(len(args)) if _is_number(args[index]))
    call = functools.partial(function, *pointers[:split], *(value.data_ptr() for value in outputs), *pointers[split:])

    def run() -> None:
        if call():
            raise MemoryError(f"{operation.target}: no memory for intermediate values")

    return run


def _is_number(value: Any) -> bool:
    return value is not None and not isinstance(value, Tensor)


def _copied(call: Callable[[], Any], outputs: list[Tensor]) -> None:
    result = call()
    returned = result if isinstance(result, tuple | list) else (result,)
    for value, place in zip((value for value in returned if isinstance(value, Tensor)), outputs, strict=True):
        place.copy_(value)


def _without_layout(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments without layout and type, which the tensors given for the results determine."""
    return {name: value for name, value in kwargs.items() if name not in _LAYOUT}


@functools.cache
def into_places(target: Any) -> Any | None:
    """The overload of an aten operation that writes its results to given tensors, if there is one."""
    packet = getattr(torch.ops.aten, target._schema.name.split("::")[1])
    wanted = [(a.name, str(a.type)) for a in target._schema.arguments if a.name not in _LAYOUT]
    for name in packet.overloads():
        overload = getattr(packet, name)
        arguments = overload._schema.arguments
        own = [(a.name, str(a.type)) for a in arguments if not a.is_out and a.name not in _LAYOUT]
        if own == wanted and any(argument.is_out for argument in arguments):
            return overload
    return None


def out_names(overload: Any) -> list[str]:
    return [argument.name for argument in overload._schema.arguments if argument.is_out]
