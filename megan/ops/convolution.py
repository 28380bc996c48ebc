"""3x3 convolution with a leading task axis, closed under differentiation.

The convolution C(x, w), its data gradient Cx(dz, w) and its weight gradient Cw(x, dz) are
bilinear and adjoint to one another: <C(x, w), dz> = <x, Cx(dz, w)> = <w, Cw(x, dz)>. Hence
the derivatives of each are the other two, and derivatives of every order, mixed ones
included, need these three alone.
"""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from megan.ops import kernels


def conv(x: Tensor, w: Tensor, stride: int = 1, padding: int = 1) -> Tensor:
    """Convolve each task's images with its own weights.

    **Arguments** `x` [tasks, images, height, width, channels]; `w` [tasks, 3, 3, channels,
    outputs]; `stride` 1 or 2; `padding` with zeros, of one pixel, or none where the stride is 2.
    **Returns** [tasks, images, ceil(height / stride), ceil(width / stride), outputs]; without
    padding [tasks, images, (height - 1) // 2, (width - 1) // 2, outputs].
    """
    return _Conv.apply(x, w, stride, padding)


class _Conv(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.sizes = stride, padding
        return kernels.conv(x, w, stride, padding)

    @staticmethod
    def backward(ctx: Any, dz: Tensor) -> tuple:
        x, w = ctx.saved_tensors
        dx = _DataGrad.apply(dz, w, x.shape[2:4], *ctx.sizes) if ctx.needs_input_grad[0] else None
        dw = _WeightGrad.apply(x, dz, *ctx.sizes) if ctx.needs_input_grad[1] else None
        return dx, dw, None, None


class _DataGrad(Function):
    @staticmethod
    def forward(ctx: Any, dz: Tensor, w: Tensor, size: tuple[int, int], stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(dz, w)
        ctx.sizes = stride, padding
        return kernels.conv_data_grad(dz, w, *size, stride, padding)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple:
        dz, w = ctx.saved_tensors
        to_dz = _Conv.apply(u, w, *ctx.sizes) if ctx.needs_input_grad[0] else None
        to_w = _WeightGrad.apply(u, dz, *ctx.sizes) if ctx.needs_input_grad[1] else None
        return to_dz, to_w, None, None, None


class _WeightGrad(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dz: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, dz)
        ctx.sizes = stride, padding
        return kernels.conv_weight_grad(x, dz, stride, padding)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple:
        x, dz = ctx.saved_tensors
        to_x = _DataGrad.apply(dz, v, x.shape[2:4], *ctx.sizes) if ctx.needs_input_grad[0] else None
        to_dz = _Conv.apply(x, v, *ctx.sizes) if ctx.needs_input_grad[1] else None
        return to_x, to_dz, None, None
