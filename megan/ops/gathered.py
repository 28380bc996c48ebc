"""The convolution's three primitives as gathered patches and batched matrix products.

Shapes as in `convolution`: x [tasks, images, height, width, channels], w [tasks, 3, 3,
channels, outputs], dz [tasks, images, out_height, out_width, outputs].
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from megan.ops.extent import outputs


def _patches(x: Tensor, stride: int, padding: int) -> Tensor:
    """[tasks, images * out_height * out_width, 9 * channels]"""
    windows = F.pad(x, (0, 0, *[padding] * 4)).unfold(2, 3, stride).unfold(3, 3, stride)
    tasks, images, height, width = windows.shape[:4]
    return windows.permute(0, 1, 2, 3, 5, 6, 4).reshape(tasks, images * height * width, -1)


def conv(x: Tensor, w: Tensor, stride: int, padding: int = 1) -> Tensor:
    rows, columns = (outputs(size, stride, padding) for size in x.shape[2:4])
    z = torch.bmm(_patches(x, stride, padding), w.flatten(1, 3))
    return z.view(*x.shape[:2], rows, columns, -1)


def conv_data_grad(dz: Tensor, w: Tensor, height: int, width: int, stride: int, padding: int = 1) -> Tensor:
    tasks, images, out_height, out_width, _ = dz.shape
    patches = torch.bmm(dz.flatten(1, 3), w.flatten(1, 3).mT)
    patches = patches.view(tasks, images, out_height, out_width, 3, 3, -1)
    dx = dz.new_zeros(tasks, images, height + 2 * padding, width + 2 * padding, w.shape[3])
    for row in range(3):
        for column in range(3):
            rows = slice(row, row + stride * (out_height - 1) + 1, stride)
            columns = slice(column, column + stride * (out_width - 1) + 1, stride)
            dx[:, :, rows, columns] += patches[:, :, :, :, row, column]
    return dx[:, :, padding : padding + height, padding : padding + width].contiguous()


def conv_weight_grad(x: Tensor, dz: Tensor, stride: int, padding: int = 1) -> Tensor:
    dw = torch.bmm(_patches(x, stride, padding).mT, dz.flatten(1, 3))
    return dw.view(len(x), 3, 3, x.shape[-1], dz.shape[-1])
