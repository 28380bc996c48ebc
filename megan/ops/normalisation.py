"""Batch normalisation and ReLU in one operation, with a task axis and explicit derivatives.

Ioffe and Szegedy 2015, always with the current batch's statistics, per task and channel,
as in the MAML network (Finn et al. 2017). Written with xhat = (z - mean) * r,
r = (variance + eps)^(-1/2), and the symmetric map

    P(y) = y - mean(y) - xhat * mean(y * xhat),

the derivative of xhat is r P. That gives the first derivatives in `_first` and the second
ones in `_second`; a third (the gradient penalty's) is left to autograd through `_second`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from megan.ops import kernels

EPSILON = 1e-5


def norm_relu(z: Tensor, gamma: Tensor, beta: Tensor, relu: bool = True) -> Tensor:
    """max(0, gamma * xhat + beta), or without the maximum.

    **Arguments** `z` [tasks, images, height, width, channels]; `gamma`, `beta` [tasks, channels].
    **Returns** the shape of `z`.
    """
    return _NormRelu.apply(z, gamma, beta, relu)


def norm_relu_of_first(z: Tensor, gamma: Tensor, beta: Tensor, first: int, relu: bool = True) -> Tensor:
    """The same with the statistics of the first `first` images of each task, for all of its images.

    In plain torch, so that autograd knows derivatives of every order.
    """
    mean = _mean(z[:, :first])
    centred = z - mean
    xhat = centred * (_mean(centred[:, :first].square()) + EPSILON).rsqrt()
    y = torch.addcmul(_wide(beta), xhat, _wide(gamma))
    return y.relu() if relu else y


def layer_norm_relu(z: Tensor, gamma: Tensor, beta: Tensor, relu: bool = True) -> Tensor:
    """The same with the statistics of each image alone (Ba, Kiros and Hinton 2016).

    For critics under a gradient penalty, which is defined an image at a time (Gulrajani et
    al. 2017). In plain torch, so that autograd knows derivatives of every order.
    """
    over = (2, 3, 4)
    centred = z - z.mean(dim=over, keepdim=True)
    xhat = centred * (centred.square().mean(dim=over, keepdim=True) + EPSILON).rsqrt()
    y = torch.addcmul(_wide(beta), xhat, _wide(gamma))
    return y.relu() if relu else y


def _mean(y: Tensor) -> Tensor:
    return y.mean(dim=(1, 2, 3), keepdim=True)


def _wide(channelwise: Tensor) -> Tensor:
    return channelwise[:, None, None, None, :]


def _statistics(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and r, each [tasks, channels]."""
    mean = _mean(z)
    variance = (z - mean).square().mean(dim=(1, 2, 3))
    return mean[:, 0, 0, 0], (variance + EPSILON).rsqrt()


def _value(z: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, r: Tensor, relu: bool) -> Tensor:
    y = torch.addcmul(_wide(beta - gamma * r * mean), z, _wide(gamma * r))
    return y.relu() if relu else y


def _terms(z: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, r: Tensor, da: Tensor, relu: bool) -> tuple:
    """xhat, and g: the gradient that passes the ReLU, with its mask."""
    xhat = torch.addcmul(_wide(-mean * r), z, _wide(r))
    mask = (torch.addcmul(_wide(beta), xhat, _wide(gamma)) > 0) if relu else None
    return xhat, da if mask is None else da * mask, mask


def _moments(y: Tensor, xhat: Tensor) -> tuple[Tensor, Tensor]:
    """mean(y) and mean(y * xhat), each [tasks, channels]: all that P needs of y."""
    return y.mean(dim=(1, 2, 3)), (y * xhat).mean(dim=(1, 2, 3))


def _combined(constant: Tensor, *terms: tuple[Tensor, Tensor]) -> Tensor:
    """constant + the sum of factor * y over the terms (y, factor): y like z, the others [tasks, channels].

    P is linear, so each result is such a sum: one pass over memory for each term. These passes take most of the time.
    """
    found = _wide(constant)
    for y, factor in terms:
        found = torch.addcmul(found, y, _wide(factor))
    return found


def _first(z: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, r: Tensor, da: Tensor, relu: bool) -> tuple:
    """Gradients to z, gamma and beta: gamma r P(g), sum(g * xhat), sum(g)."""
    xhat, g, _ = _terms(z, gamma, beta, mean, r, da, relu)
    count, scale = z[0, ..., 0].numel(), gamma * r
    g_mean, g_xhat = _moments(g, xhat)
    dz = _combined(-scale * g_mean, (g, scale), (xhat, -scale * g_xhat))
    return dz, count * g_xhat, count * g_mean


def _second(saved: tuple[Tensor, ...], cotangents: tuple[Tensor, Tensor, Tensor], relu: bool) -> tuple:
    """Gradients of <uz, dz> + <ugamma, dgamma> + <ubeta, dbeta> to z, gamma and da.

    With s = gamma r and the curvature K = P(mean(g xhat) uz + mean(uz xhat) g) + mean(uz P(g)) xhat:

        to g      s P(uz) + ugamma xhat + ubeta
        to gamma  r sum(uz P(g))
        to z      ugamma r P(g) - s r K

    **Arguments** `saved` z, gamma, beta, mean, r, da; `cotangents` uz, ugamma, ubeta.
    """
    (z, gamma, beta, mean, r, da), (uz, ugamma, ubeta) = saved, cotangents
    xhat, g, mask = _terms(z, gamma, beta, mean, r, da, relu)
    scale, bend = gamma * r, gamma * r * r
    g_mean, g_xhat = _moments(g, xhat)
    u_mean, u_xhat = _moments(uz, xhat)
    pg = _combined(-g_mean, (g, torch.ones_like(r)), (xhat, -g_xhat))
    u_pg = (uz * pg).mean(dim=(1, 2, 3))
    to_g = _combined(ubeta - scale * u_mean, (uz, scale), (xhat, ugamma - scale * u_xhat))
    # K = g_xhat uz + u_xhat P(g) + (u_pg - g_xhat u_xhat) xhat - g_xhat u_mean
    to_z = _combined(
        bend * g_xhat * u_mean,
        (uz, -bend * g_xhat),
        (pg, ugamma * r - bend * u_xhat),
        (xhat, bend * (g_xhat * u_xhat - u_pg)),
    )
    return to_z, z[0, ..., 0].numel() * r * u_pg, to_g if mask is None else to_g * mask


class _NormRelu(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, gamma: Tensor, beta: Tensor, relu: bool) -> Tensor:
        fused = kernels.normalisation(z)
        if fused:
            a, mean, r = fused.norm_relu(z, gamma, beta, EPSILON, relu)
        else:
            mean, r = _statistics(z)
            a = _value(z, gamma, beta, mean, r, relu)
        ctx.save_for_backward(z, gamma, beta, mean, r)
        ctx.relu = relu
        return a

    @staticmethod
    def backward(ctx: Any, da: Tensor) -> tuple:
        z, gamma, beta, mean, r = ctx.saved_tensors
        return *_NormReluGrad.apply(z, gamma, beta, mean, r, da, ctx.relu), None


class _NormReluGrad(Function):
    """`mean` and `r` are arguments to save work. They are functions of z, and the derivative for z includes them."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, r: Tensor, da: Tensor, relu: bool
    ) -> tuple:
        ctx.save_for_backward(z, gamma, beta, mean, r, da)
        ctx.relu = relu
        ctx.set_materialize_grads(False)
        fused = kernels.normalisation(z)
        if fused:
            return fused.norm_relu_grad(z, mean, r, gamma, beta, da, relu)
        return _first(z, gamma, beta, mean, r, da, relu)

    @staticmethod
    def backward(ctx: Any, uz: Tensor | None, ugamma: Tensor | None, ubeta: Tensor | None) -> tuple:
        z, gamma, beta, mean, r, da = ctx.saved_tensors
        fused = kernels.normalisation(z)
        if torch.is_grad_enabled() or not fused:
            if torch.is_grad_enabled():  # a third derivative follows: the statistics must depend on z
                mean, r = _statistics(z)
            uz = torch.zeros_like(z) if uz is None else uz
            ugamma = torch.zeros_like(gamma) if ugamma is None else ugamma
            ubeta = torch.zeros_like(beta) if ubeta is None else ubeta
            to_z, to_gamma, to_da = _second((z, gamma, beta, mean, r, da), (uz, ugamma, ubeta), ctx.relu)
        else:
            saved, cotangents = (z, mean, r, gamma, beta, da), (uz, ugamma, ubeta)
            to_z, to_gamma, to_da = fused.norm_relu_grad_grad(saved, cotangents, ctx.relu)
        return to_z, to_gamma, None, None, None, to_da, None
