"""Element-wise operations as loops: several steps on each element, which the native program computes in one pass.

A loop is an operation `loop` with arguments (inputs, steps, results). Its values are numbered: first the inputs, views
of one shape, then the result of each step (name, value, value, number). `results` are the values that it writes.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from megan.replay.program import Operation, View

Step = tuple[str, int, int, float]

FEW = 4096  # elements up to which a function of the C library is as fast as torch's vectorised one
TYPES = (torch.float32, torch.float64)

aten = torch.ops.aten


def loop(inputs: Sequence[View], steps: Sequence[Step], output: View, result: int | None = None) -> Operation:
    """A loop with one result, by default the last value."""
    results = (len(inputs) + len(steps) - 1 if result is None else result,)
    spread = tuple(expanded(view, output.shape) for view in inputs)
    return Operation("loop", (spread, tuple(steps), results), {}, (output,), frozenset([output.buffer]))


def copy(source: View, output: View) -> Operation:
    return loop([source], [], output)


def fill(value: float, output: View) -> Operation:
    return loop([], [("fill", 0, 0, float(value))], output)


def expanded(view: View, shape: tuple[int, ...]) -> View:
    """The view read as if it had a larger shape."""
    missing = len(shape) - len(view.shape)
    stride = [0] * missing + [s if n != 1 else 0 for n, s in zip(view.shape, view.stride, strict=True)]
    return View(view.buffer, view.offset, shape, tuple(stride), view.dtype)


def contiguous(view: View) -> bool:
    expected = 1
    for size, stride in zip(reversed(view.shape), reversed(view.stride), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def elementwise(operation: Operation, number: Callable[[View], float | None]) -> Operation | None:
    """The loop of an element-wise operation, or None for any other operation or type.

    `number` gives the value of a view of a single constant, else None.
    """
    rule = _RULES.get(operation.target)
    if rule is None or 0 in operation.output.shape:
        return None
    output = operation.output
    args = [_argument(value, number) for value in operation.args]
    made = rule(*args, **operation.kwargs)
    if made is None:
        return None
    inputs, steps = made
    few = math.prod(output.shape) <= FEW
    if any(getattr(view, "dtype", None) is not output.dtype for view in inputs) or output.dtype not in TYPES:
        return None
    return loop(inputs, steps, output) if few or not any(name in _SLOW for name, *_ in steps) else None


def _argument(value: Any, number: Callable[[View], float | None]) -> Any:
    """Replace the view of a single constant by its number."""
    if isinstance(value, View) and not value.shape and (found := number(value)) is not None:
        return found
    return value


Made = tuple[list[View], list[Step]] | None
_SLOW = {"sqrt", "rsqrt", "exp", "log", "sigmoid", "tanh", "softplus", "softplus_grad"}


def _unary(name: str, k: float = 0.0) -> Callable[..., Made]:
    return lambda x, **_: ([x], [(name, 0, 0, k)]) if isinstance(x, View) else None


def _binary(name: str) -> Callable[..., Made]:
    return lambda x, y, **_: ([x, y], [(name, 0, 1, 0.0)]) if isinstance(x, View) and isinstance(y, View) else None


def _add(x: Any, y: Any, alpha: float = 1, **_: Any) -> Made:
    if isinstance(y, View) and isinstance(x, View):
        return [x, y], [("add", 0, 1, 0.0) if alpha == 1 else ("add_scaled", 0, 1, float(alpha))]
    if isinstance(x, View):
        return [x], [("shift", 0, 0, float(alpha * y))]
    return ([y], [("scale", 0, 0, float(alpha)), ("shift", 1, 0, float(x))]) if isinstance(y, View) else None


def _subtract(x: Any, y: Any, alpha: float = 1, **_: Any) -> Made:
    if isinstance(x, View) and isinstance(y, View) and alpha == 1:
        return [x, y], [("sub", 0, 1, 0.0)]
    return _add(x, y, -alpha)


def _multiply(x: Any, y: Any, **_: Any) -> Made:
    if isinstance(x, View) and isinstance(y, View):
        return [x, y], [("mul", 0, 1, 0.0)]
    value, k = (x, y) if isinstance(x, View) else (y, x)
    return ([value], [("scale", 0, 0, float(k))]) if isinstance(value, View) else None


def _divide(x: Any, y: Any, **_: Any) -> Made:
    if isinstance(y, View):
        return ([x, y], [("div", 0, 1, 0.0)]) if isinstance(x, View) else ([y], [("reciprocal", 0, 0, float(x))])
    return ([x], [("scale", 0, 0, 1.0 / y)]) if isinstance(x, View) else None


def _power(x: View, exponent: float) -> Made:
    return ([x], [("mul", 0, 0, 0.0)]) if exponent == 2 else None


def _clamp(x: View, low: float | None = None, high: float | None = None) -> Made:
    bounds = [(name, k) for name, k in (("at_least", low), ("at_most", high)) if k is not None]
    return [x], [(name, index, 0, float(k)) for index, (name, k) in enumerate(bounds)]


def _threshold_grad(gradient: View, x: View, threshold: float) -> Made:
    return ([gradient, x], [("relu_grad", 0, 1, 0.0)]) if threshold == 0 else None


def _softplus(x: View, beta: float = 1, threshold: float = 20) -> Made:
    return ([x], [("softplus", 0, 0, 0.0)]) if (beta, threshold) == (1, 20) else None


def _softplus_grad(gradient: View, x: View, beta: float, threshold: float) -> Made:
    return ([gradient, x], [("softplus_grad", 0, 1, 0.0)]) if (beta, threshold) == (1, 20) else None


def _add_product(x: View, a: View, b: View, value: float = 1) -> Made:
    product: Step = ("mul", 1, 2, 0.0)
    return [x, a, b], [product, ("add_scaled", 0, 3, float(value)) if value != 1 else ("add", 0, 3, 0.0)]


_RULES: dict[Any, Callable[..., Made]] = {
    **dict.fromkeys((aten.add.Tensor, aten.add_.Tensor, aten.add.Scalar, aten.add_.Scalar), _add),
    **dict.fromkeys((aten.sub.Tensor, aten.sub_.Tensor, aten.sub.Scalar), _subtract),
    aten.rsub.Scalar: lambda x, y, alpha=1: _subtract(y, x, alpha),
    **dict.fromkeys((aten.mul.Tensor, aten.mul_.Tensor, aten.mul.Scalar, aten.mul_.Scalar), _multiply),
    **dict.fromkeys((aten.div.Tensor, aten.div_.Tensor, aten.div.Scalar), _divide),
    aten.addcmul.default: _add_product,
    aten.neg.default: _unary("scale", -1.0),
    aten.pow.Tensor_Scalar: _power,
    aten.square.default: lambda x: _power(x, 2),
    aten.reciprocal.default: _unary("reciprocal", 1.0),
    aten.relu.default: _unary("relu"),
    aten.threshold_backward.default: _threshold_grad,
    aten.clamp.default: _clamp,
    aten.sigmoid_backward.default: _binary("sigmoid_grad"),
    aten.tanh_backward.default: _binary("tanh_grad"),
    aten.softplus.default: _softplus,
    aten.softplus_backward.default: _softplus_grad,
    **{getattr(aten, name).default: _unary(name) for name in ("sqrt", "rsqrt", "exp", "log", "sigmoid", "tanh")},
}
