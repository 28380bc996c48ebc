"""The convolution's three primitives as torch's own convolution, one task after the other.

In memory the images of a task are a channels-last batch already, so oneDNN makes no copy.
Shapes as in `convolution`.
"""

import torch
from torch import Tensor

from megan.ops.extent import outputs


def _planar(x: Tensor) -> Tensor:
    """[images, height, width, channels] -> a view [images, channels, height, width]; `_last` is the reverse."""
    return x.permute(0, 3, 1, 2)


def _last(y: Tensor) -> Tensor:
    return y.permute(0, 2, 3, 1)


def _filters(w: Tensor) -> Tensor:
    """[3, 3, channels, outputs] -> a view [outputs, channels, 3, 3]"""
    return w.permute(3, 2, 0, 1)


def _backward(dz: Tensor, x: Tensor, filters: Tensor, sizes: tuple[int, int], want: list[bool]) -> tuple:
    stride, padding = sizes
    return torch.ops.aten.convolution_backward(
        _planar(dz), _planar(x), filters, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [*want, False]
    )


def conv(x: Tensor, w: Tensor, stride: int, padding: int = 1) -> Tensor:
    tasks, images, height, width, _ = x.shape
    rows, columns = (outputs(size, stride, padding) for size in (height, width))
    z = x.new_empty(tasks, images, rows, columns, w.shape[4])
    for task in range(tasks):
        z[task] = _last(torch.conv2d(_planar(x[task]), _filters(w[task]), stride=stride, padding=padding))
    return z


def conv_data_grad(dz: Tensor, w: Tensor, height: int, width: int, stride: int, padding: int = 1) -> Tensor:
    tasks, images = dz.shape[:2]
    dx = dz.new_empty(tasks, images, height, width, w.shape[3])
    for task in range(tasks):
        dx[task] = _last(_backward(dz[task], dx[task], _filters(w[task]), (stride, padding), [True, False])[0])
    return dx


def conv_weight_grad(x: Tensor, dz: Tensor, stride: int, padding: int = 1) -> Tensor:
    dw = dz.new_empty(len(x), 3, 3, x.shape[4], dz.shape[4])
    # Replaces the filters, whose values do not matter. In float64 torch accepts no view with a single output.
    shape = dz.new_empty(dz.shape[4], x.shape[4], 3, 3)
    for task in range(len(x)):
        found = _backward(dz[task], x[task], shape, (stride, padding), [False, True])[1]
        dw[task] = found.permute(2, 3, 1, 0)
    return dw
