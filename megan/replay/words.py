"""Instructions of the native program (megan/ops/program.cpp) as rows of 64-bit words."""

import functools
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from megan.ops import native
from megan.replay.loops import TYPES
from megan.replay.program import Operation, View

Address = Callable[[View], int]

MOST_DIMS = 8  # kMostDims of the C++ source


@functools.cache
def numbers(enumeration: str) -> dict[str, int]:
    """The numbers that the C++ source gives to the names of an enumeration, as `conv_data_grad` for kConvDataGrad."""
    text = native.SOURCES[0].read_text(encoding="utf-8")
    (names,) = re.findall(rf"enum {enumeration} : Int {{([^}}]*)}}", text)
    words = [re.sub(r"(?<!^)(?=[A-Z])", "_", name.strip()[1:]).lower() for name in names.split(",")]
    return {word: index for index, word in enumerate(words)}


def known(operation: Operation) -> bool:
    """Whether the native program has an instruction for an operation. It has one for most kernels."""
    return operation.is_native and native.available() and operation.target in numbers("Code")


def words(operation: Operation, address: Address) -> list[int]:
    """The instruction of an operation that the native program knows; `address` gives where a view begins in memory."""
    fields = _FIELDS.get(operation.target, _kernel)(operation, address)
    output = operation.output
    assert output is not None
    return [numbers("Code")[operation.target], len(fields) + 3, TYPES.index(output.dtype), *fields]


def bits(number: float) -> int:
    """A number as the bits of a double."""
    return int(struct.unpack("q", struct.pack("d", number))[0])


def collapsed(views: Sequence[View], keep: int = 1) -> tuple[list[int], list[list[int]]]:
    """Sizes, and strides of each view, with adjacent dimensions merged if all views allow it, but `keep` at least."""
    sizes: list[int] = []
    strides: list[list[int]] = [[] for _ in views]
    for dim, size in enumerate(views[0].shape):
        own = [view.stride[dim] for view in views]
        if size == 1:
            continue
        if sizes and all(row[-1] == step * size for row, step in zip(strides, own, strict=True)):
            sizes[-1] *= size
            for row, step in zip(strides, own, strict=True):
                row[-1] = step
        else:
            sizes.append(size)
            for row, step in zip(strides, own, strict=True):
                row.append(step)
    if len(sizes) > MOST_DIMS:
        raise ValueError(f"views of {len(sizes)} dimensions: the native program has at most {MOST_DIMS}")
    while len(sizes) < keep:
        sizes.insert(0, 1)
        for row in strides:
            row.insert(0, 0)
    return sizes, strides


def _ordered(views: Sequence[View], by: View) -> list[View]:
    """The same views with dimensions in the order that `by` has in memory."""
    dims = sorted(range(len(by.shape)), key=lambda d: -by.stride[d])
    return [view.permuted(dims) for view in views]


def _kernel(operation: Operation, address: Address) -> Iterable[int]:
    args, outputs = operation.args, [address(view) for view in operation.outputs if view]
    pointers = [0 if value is None else address(value) for value in args if value is None or isinstance(value, View)]
    rest = [value for value in args if value is not None and not isinstance(value, View)]
    return [*pointers, *outputs, *(bits(value) if isinstance(value, float) else int(value) for value in rest)]


def _weight_grad_add(operation: Operation, address: Address) -> Iterable[int]:
    """Its last argument is the buffer that it adds to, which is also its result."""
    return _kernel(replace(operation, args=operation.args[:-1]), address)


def _loop(operation: Operation, address: Address) -> Iterable[int]:
    inputs, steps, results = operation.args
    outputs = [view for view in operation.outputs if view]
    views = _ordered([*inputs, *outputs], outputs[0])
    sizes, strides = collapsed(views)
    places = [[address(view), *row] for view, row in zip(views, strides, strict=True)]
    fields = [len(sizes), *sizes, len(inputs), *(word for place in places[: len(inputs)] for word in place), len(steps)]
    for name, a, b, number in steps:
        fields += [numbers("Step")[name], a, b, bits(number)]
    fields.append(len(outputs))
    for result, place in zip(results, places[len(inputs) :], strict=True):
        fields += [result, *place]
    return fields


def _sum(operation: Operation, address: Address) -> Iterable[int]:
    view, scale = operation.args
    output = operation.output
    kept = len(output.shape)

    def some(dims: slice) -> View:
        return View(view.buffer, view.offset, view.shape[dims], view.stride[dims], view.dtype)

    kept_sizes, (kept_strides, to) = collapsed([some(slice(kept)), output])
    sum_sizes, (sum_strides,) = collapsed([some(slice(kept, None))])
    return [
        *(len(kept_sizes), len(sum_sizes), *kept_sizes, *sum_sizes),
        *(address(view), *kept_strides, *sum_strides),
        *(address(output), *to, bits(scale)),
    ]


def _matrix_product(operation: Operation, address: Address) -> Iterable[int]:
    a, b, bias = operation.args
    output = operation.output
    fields = [output.shape[0], output.shape[1], a.shape[2], output.shape[2]]
    for view in (a, b, output):
        fields += [address(view), *view.stride]
    return [*fields, *((0, 0, 0, 0) if bias is None else (address(bias), *bias.stride))]


def _pick(operation: Operation, address: Address) -> Iterable[int]:
    index, source, from_step, to_step = operation.args
    output = operation.output
    return [
        *(len(index.shape), *index.shape, address(index), *index.stride),
        *(address(source), *source.stride, from_step),
        *(address(output), *output.stride, to_step),
    ]


def _sizes_first(operation: Operation, address: Address) -> Iterable[int]:
    places = [address(value) for value in (*operation.args, *operation.outputs) if isinstance(value, View)]
    return [*(value for value in operation.args if not isinstance(value, View)), *places]


_FIELDS: dict[Any, Callable[[Operation, Address], Any]] = {
    "conv_weight_grad_add": _weight_grad_add,
    "loop": _loop,
    "sum": _sum,
    "matrix_product": _matrix_product,
    "pick": _pick,
    "add_at": _pick,
    **dict.fromkeys(("log_softmax", "log_softmax_grad", "double_up", "double_up_grad"), _sizes_first),
}
