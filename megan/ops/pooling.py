"""2x2 max-pooling with a task axis, closed under differentiation.

Which of the four pixels is the largest does not change under a small step, so pooling is linear around a point: it
gathers one pixel of each window. Its derivative scatters into these pixels, and theirs gathers again.
"""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from megan.ops import kernels


def max_pool(x: Tensor) -> Tensor:
    """The largest pixel of each 2x2 window; of equal ones the first.

    **Arguments** `x` [tasks, images, height, width, channels]; an odd last row or column is left out.
    **Returns** [tasks, images, height // 2, width // 2, channels].
    """
    return _MaxPool.apply(x)


class _MaxPool(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y, which = kernels.max_pool(x)
        ctx.save_for_backward(which)
        ctx.size = x.shape[2:4]
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (which,) = ctx.saved_tensors
        return _Scatter.apply(dy, which, ctx.size)


class _Scatter(Function):
    @staticmethod
    def forward(ctx: Any, dy: Tensor, which: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(which)
        ctx.size = size
        return kernels.pool_scatter(dy, which, *size)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple:
        (which,) = ctx.saved_tensors
        return _Gather.apply(u, which), None, None


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, which: Tensor) -> Tensor:
        ctx.save_for_backward(which)
        ctx.size = u.shape[2:4]
        return kernels.pool_gather(u, which)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple:
        (which,) = ctx.saved_tensors
        return _Scatter.apply(v, which, ctx.size), None
