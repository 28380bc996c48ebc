"""Translates operations of aten to those of the native program. Any other operation stays a call of torch."""

import math
from collections.abc import Callable
from typing import Any

import torch

from megan.replay import call
from megan.replay.loops import TYPES, contiguous, copy, elementwise, expanded, fill
from megan.replay.program import Operation, Program, View

aten = torch.ops.aten
Made = list[Operation] | None

MOST_PRODUCTS = 1 << 22  # multiplications up to which a plain loop computes a matrix product as fast as a library


def lowered(program: Program) -> Program:
    """The same program, with its operations translated by `loops` and the functions below."""

    def number(view: View) -> float | None:
        content = program.constants.get(view.buffer)
        return None if content is None else float(call.tensor(content, view))

    operations: list[Operation] = []
    for operation in program.operations:
        if (made := elementwise(operation, number)) is not None:
            operations.append(made)
            continue
        rule = _RULES.get(operation.target)
        found = rule(operation) if rule and _floating(operation) else None
        operations += [operation] if found is None else found
    return Program(program.inputs, program.outputs, operations, program.sizes, program.constants)


def _floating(operation: Operation) -> bool:
    """Whether all tensors except an index have one type that the native program knows, and the result is not empty."""
    found = [view for view in (*operation.inputs(), *operation.outputs) if view]
    types = {view.dtype for view in found}
    empty = any(0 in view.shape for view in found)
    return len(types - {torch.int64}) == 1 and types <= {*TYPES, torch.int64} and not empty


def _native(name: str, args: tuple, output: View) -> Operation:
    return Operation(name, args, {}, (output,), frozenset([output.buffer]))


def part(view: View, dim: int, start: int, count: int, step: int = 1) -> View:
    """A view's slice along one dimension."""
    shape, stride = list(view.shape), list(view.stride)
    offset = view.offset + start * stride[dim]
    shape[dim], stride[dim] = count, stride[dim] * step
    return View(view.buffer, offset, tuple(shape), tuple(stride), view.dtype)


def without(view: View, dim: int, index: int) -> View:
    """A view at one index of a dimension, without that dimension."""
    one = part(view, dim, index, 1)
    return View(one.buffer, one.offset, _less(one.shape, dim), _less(one.stride, dim), one.dtype)


def _less(values: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return values[:dim] + values[dim + 1 :]


# ---- moving ----------------------------------------------------------------------------------


def _copied(operation: Operation) -> Made:
    return [copy(operation.args[0], operation.output)]


def _copied_into(operation: Operation) -> Made:
    return [copy(operation.args[1], operation.args[0])]


def _filled(value: float | None = None) -> Callable[[Operation], Made]:
    def rule(operation: Operation) -> Made:
        return [fill(operation.args[1] if value is None else value, operation.output)]

    return rule


def _joined(operation: Operation) -> Made:
    """cat"""
    output, dim, start, found = operation.output, 0, 0, []
    dim = (operation.args[1] if len(operation.args) > 1 else 0) % len(output.shape)
    for view in operation.args[0]:
        if len(view.shape) != len(output.shape):
            return None
        found.append(copy(view, part(output, dim, start, view.shape[dim])))
        start += view.shape[dim]
    return found


def _stacked(operation: Operation) -> Made:
    output = operation.output
    dim = (operation.args[1] if len(operation.args) > 1 else 0) % len(output.shape)
    return [copy(view, without(output, dim, index)) for index, view in enumerate(operation.args[0])]


def _slice_grad(operation: Operation) -> Made:
    gradient, _, dim, start, _, step = operation.args
    output = operation.output
    return [fill(0, output), copy(gradient, part(output, dim, start, gradient.shape[dim], step))]


def _select_grad(operation: Operation) -> Made:
    gradient, _, dim, index = operation.args
    output = operation.output
    dim, index = dim % len(output.shape), index % output.shape[dim]
    return [fill(0, output), copy(gradient, without(output, dim, index))]


def _repeated(operation: Operation) -> Made:
    view, times = operation.args
    output = operation.output
    if not contiguous(output):
        return None
    view = expanded(view, (1,) * (len(times) - len(view.shape)) + view.shape)
    shape = tuple(size for pair in zip(times, view.shape, strict=True) for size in pair)
    stride = tuple(step for s in view.stride for step in (0, s))
    to = tuple(math.prod(shape[index + 1 :]) for index in range(len(shape)))
    return [
        copy(
            View(view.buffer, view.offset, shape, stride, view.dtype),
            View(output.buffer, output.offset, shape, to, output.dtype),
        )
    ]


def _doubled(name: str) -> Callable[[Operation], Made]:
    """Nearest-neighbour upsampling by two of images with the channels last, or its gradient."""

    def rule(operation: Operation) -> Made:
        source, output = operation.args[0], operation.output
        images, channels, height, width = (source if name == "double_up" else output).shape
        large = (output if name == "double_up" else source).shape
        last = [view.permuted((0, 2, 3, 1)) for view in (source, output)]
        if large != (images, channels, 2 * height, 2 * width) or not all(map(contiguous, last)):
            return None
        return [_native(name, (source, images, height, width, channels), output)]

    return rule


# ---- sums, products, picking ---------------------------------------------------------------------


def _summed(mean: bool) -> Callable[[Operation], Made]:
    def rule(operation: Operation) -> Made:
        view, output = operation.args[0], operation.output
        dims = operation.args[1] if len(operation.args) > 1 else None
        summed = sorted(d % len(view.shape) for d in dims) if dims else list(range(len(view.shape)))
        kept = [d for d in range(len(view.shape)) if d not in summed]
        keeps = len(operation.args) > 2 and operation.args[2]
        if not math.prod(view.shape) or not summed:
            return None
        strides = [s for d, s in enumerate(output.stride) if not (keeps and d in summed)]
        order = sorted(range(len(kept)), key=lambda i: -view.stride[kept[i]])  # neighbours in memory come last
        summed.sort(key=lambda d: -view.stride[d])
        read = view.permuted([kept[i] for i in order] + summed)
        shape, stride = read.shape[: len(kept)], tuple(strides[i] for i in order)
        to = View(output.buffer, output.offset, shape, stride, output.dtype)
        scale = 1.0 / math.prod(view.shape[d] for d in summed) if mean else 1.0
        return [_native("sum", (read, scale), to)]

    return rule


def _product(operation: Operation) -> Made:
    bias, (a, b) = None, operation.args[-2:]
    if operation.target is aten.baddbmm.default:
        bias, a, b = operation.args[:3]
        if operation.kwargs or len(operation.args) > 3:
            return None
    output = operation.output
    if len(output.shape) == 2:
        a, b, output = (View(v.buffer, v.offset, (1, *v.shape), (0, *v.stride), v.dtype) for v in (a, b, output))
    if math.prod(output.shape) * a.shape[2] > MOST_PRODUCTS:
        return None
    return [_native("matrix_product", (a, b, None if bias is None else expanded(bias, output.shape)), output)]


def _along(view: View, dim: int, shape: tuple[int, ...]) -> View:
    """A view with the `shape` of an index and stride 0 along `dim`."""
    stride = tuple(0 if d == dim else s for d, s in enumerate(view.stride))
    return View(view.buffer, view.offset, shape, stride, view.dtype)


def _picked(operation: Operation) -> Made:
    """gather"""
    view, dim, index = operation.args[:3]
    dim %= len(view.shape)
    return [_native("pick", (index, _along(view, dim, index.shape), view.stride[dim], 0), operation.output)]


def _added_at(operation: Operation) -> Made:
    """scatter_add"""
    view, dim, index, source = operation.args
    output = operation.output
    dim %= len(view.shape)
    source = View(source.buffer, source.offset, index.shape, source.stride, source.dtype)
    to = _along(output, dim, index.shape)
    return [copy(view, output), _native("add_at", (index, source, 0, output.stride[dim]), to)]


def _log_softmax(operation: Operation) -> Made:
    view, dim = operation.args[:2]
    output = operation.output
    if dim % len(view.shape) != len(view.shape) - 1 or not contiguous(output):
        return None
    first = [] if contiguous(view) else [copy(view, output)]
    size = view.shape[-1]
    rows = math.prod(view.shape[:-1])
    return [*first, _native("log_softmax", (output if first else view, rows, size), output)]


def _log_softmax_grad(operation: Operation) -> Made:
    gradient, result, dim = operation.args[:3]
    output = operation.output
    if dim % len(result.shape) != len(result.shape) - 1 or not contiguous(output) or not contiguous(result):
        return None
    first = [] if contiguous(gradient) else [copy(gradient, output)]
    size, rows = result.shape[-1], math.prod(result.shape[:-1])
    return [*first, _native("log_softmax_grad", (output if first else gradient, result, rows, size), output)]


_RULES: dict[Any, Callable[[Operation], Made]] = {
    aten.clone.default: _copied,
    aten.copy_.default: _copied_into,
    **dict.fromkeys((aten.zeros_like.default, aten.new_zeros.default, aten.zeros.default), _filled(0)),
    aten.ones_like.default: _filled(1),
    aten.fill_.Scalar: _filled(),
    aten.cat.default: _joined,
    aten.stack.default: _stacked,
    aten.slice_backward.default: _slice_grad,
    aten.select_backward.default: _select_grad,
    aten.repeat.default: _repeated,
    aten.upsample_nearest2d.default: _doubled("double_up"),
    aten.upsample_nearest2d_backward.default: _doubled("double_up_grad"),
    **dict.fromkeys((aten.sum.dim_IntList, aten.sum.default), _summed(mean=False)),
    **dict.fromkeys((aten.mean.dim, aten.mean.default), _summed(mean=True)),
    **dict.fromkeys((aten.bmm.default, aten.baddbmm.default, aten.mm.default), _product),
    aten.gather.default: _picked,
    aten.scatter_add.default: _added_at,
    aten._log_softmax.default: _log_softmax,
    aten._log_softmax_backward_data.default: _log_softmax_grad,
}
