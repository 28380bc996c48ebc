"""The convolution's three primitives as torch's grouped convolution, a group a task.

A candidate that the engine does not use: on a CPU `megan/ops/separate.py` is faster, since it
copies less. Shapes as in `megan/ops/convolution.py`.
"""

import torch
from torch import Tensor


def _images(x: Tensor) -> Tensor:
    """[tasks, images, height, width, channels] -> [images, tasks * channels, height, width]"""
    tasks, images, height, width, channels = x.shape
    return x.permute(1, 2, 3, 0, 4).reshape(images, height, width, tasks * channels).permute(0, 3, 1, 2)


def _tasks(y: Tensor, tasks: int) -> Tensor:
    """[images, tasks * channels, height, width] -> [tasks, images, height, width, channels]"""
    images, _, height, width = y.shape
    return y.permute(0, 2, 3, 1).reshape(images, height, width, tasks, -1).permute(3, 0, 1, 2, 4).contiguous()


def _weights(w: Tensor) -> Tensor:
    """[tasks, 3, 3, channels, outputs] -> [tasks * outputs, channels, 3, 3]"""
    return w.permute(0, 4, 3, 1, 2).flatten(0, 1)


def _backward(dz: Tensor, x: Tensor, w: Tensor, stride: int, want: list[bool]) -> tuple:
    return torch.ops.aten.convolution_backward(
        dz, x, w, None, [stride, stride], [1, 1], [1, 1], False, [0, 0], len(x[0]) // len(w[0]), [*want, False]
    )


def conv(x: Tensor, w: Tensor, stride: int) -> Tensor:
    z = torch.nn.functional.conv2d(_images(x), _weights(w), stride=stride, padding=1, groups=len(w))
    return _tasks(z, len(w))


def conv_data_grad(dz: Tensor, w: Tensor, height: int, width: int, stride: int) -> Tensor:
    tasks, images = dz.shape[:2]
    x = _images(dz.new_empty(1).expand(tasks, images, height, width, w.shape[3]))
    return _tasks(_backward(_images(dz), x, _weights(w), stride, [True, False])[0], tasks)


def conv_weight_grad(x: Tensor, dz: Tensor, stride: int) -> Tensor:
    tasks, channels, outputs = len(x), x.shape[-1], dz.shape[-1]
    w = dz.new_empty(tasks * outputs, channels, 3, 3)
    dw = _backward(_images(dz), _images(x), w, stride, [False, True])[1]
    return dw.view(tasks, outputs, channels, 3, 3).permute(0, 3, 4, 2, 1).contiguous()
