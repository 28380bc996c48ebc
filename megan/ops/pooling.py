"""2x2 max-pooling with a task axis, closed under differentiation.

Which of the four pixels is the largest does not change under a small step, so pooling is linear around a point: it
gathers one pixel of each window. Its derivative scatters into these pixels, and the derivative of that gathers again.

Where the kernels are native, batch norm, ReLU and pooling are one operation. The normalised image and its gradient
are then never in memory, only a quarter of their pixels.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from megan.ops import kernels, native_pooling
from megan.ops.normalisation import EPSILON, norm_relu


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


def norm_relu_pool(z: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """`max_pool(norm_relu(z, gamma, beta))`.

    **Arguments** `z` [tasks, images, height, width, channels]; `gamma`, `beta` [tasks, channels].
    **Returns** [tasks, images, height // 2, width // 2, channels].
    """
    if not kernels.pools_with_normalisation(z):
        return max_pool(norm_relu(z, gamma, beta))
    return _NormReluPool.apply(z, gamma, beta)


class _NormReluPool(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        y, mean, r = native_pooling.norm_relu_pool(z, gamma, beta, EPSILON)
        ctx.save_for_backward(z, gamma, beta, mean, r)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple:
        return _NormReluPoolGrad.apply(*ctx.saved_tensors, dy)


class _NormReluPoolGrad(Function):
    """`mean` and `r` are arguments to save work. They are functions of z, and the derivative for z includes them."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, r: Tensor, dy: Tensor) -> tuple:
        ctx.save_for_backward(z, gamma, beta, mean, r, dy)
        ctx.set_materialize_grads(False)
        return native_pooling.norm_relu_pool_grad(z, mean, r, gamma, beta, dy)

    @staticmethod
    def backward(ctx: Any, uz: Tensor | None, ugamma: Tensor | None, ubeta: Tensor | None) -> tuple:
        z, gamma, beta, mean, r, dy = ctx.saved_tensors
        if torch.is_grad_enabled():  # a third derivative follows
            to_z, to_gamma, to_beta, to_dy = _second((z, gamma, beta, dy), (uz, ugamma, ubeta))
            return to_z, to_gamma, to_beta, None, None, to_dy
        saved, cotangents = (z, mean, r, gamma, beta, dy), (uz, ugamma, ubeta)
        to_z, to_gamma, to_dy = native_pooling.norm_relu_pool_grad_grad(saved, cotangents)
        return to_z, to_gamma, None, None, None, to_dy


def _second(inputs: tuple[Tensor, ...], cotangents: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """The gradient of `_NormReluPoolGrad` for z, gamma, beta and dy, by normalisation and pooling one after the other.

    Autograd knows derivatives of every order of these.
    """
    # Views, since dy may depend on z: the derivative for z is at fixed dy.
    z, gamma, beta, dy = (
        value.view_as(value) if value.requires_grad else value.detach().requires_grad_() for value in inputs
    )
    y = max_pool(norm_relu(z, gamma, beta))
    first = torch.autograd.grad(y, (z, gamma, beta), dy, create_graph=True)
    given = [(value, u) for value, u in zip(first, cotangents, strict=True) if u is not None]
    values, us = zip(*given, strict=True)
    return torch.autograd.grad(values, (z, gamma, beta, dy), us, create_graph=True, allow_unused=True)
