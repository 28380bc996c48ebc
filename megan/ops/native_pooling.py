"""Batch norm, ReLU and 2x2 max-pooling in one kernel, and its derivatives; without autograd, as in `native`.

    z, dz, uz [T, B, H, W, O]    y, dy [T, B, H // 2, W // 2, O]    all others [T, O]

Of equal pixels in a window the first counts as the largest. An odd last row or column is in no window.
"""

import torch
from torch import Tensor

from megan.ops import native


def norm_relu_pool(z: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """y, and the statistics mean and rstd of the whole of z."""
    _check("norm_relu_pool", z, gamma, beta)
    z, gamma, beta = native._prepare("norm_pool", z, gamma, beta)
    y, mean, rstd = z.new_empty(_pooled(z)), torch.empty_like(gamma), torch.empty_like(gamma)
    native._run("norm_pool", (z, gamma, beta), (y, mean, rstd), *z.shape, eps)
    return y, mean, rstd


def norm_relu_pool_grad(
    z: Tensor, mean: Tensor, rstd: Tensor, gamma: Tensor, beta: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of `norm_relu_pool`: dz, dgamma and dbeta."""
    _check("norm_relu_pool_grad", z, mean, rstd, gamma, beta, dy=dy)
    z, mean, rstd, gamma, beta, dy = tensors = native._prepare("norm_pool_grad", z, mean, rstd, gamma, beta, dy)
    dz, dgamma, dbeta = torch.empty_like(z), torch.empty_like(gamma), torch.empty_like(gamma)
    native._run("norm_pool_grad", tensors, (dz, dgamma, dbeta), *z.shape)
    return dz, dgamma, dbeta


def norm_relu_pool_grad_grad(
    saved: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor],
    cotangents: tuple[Tensor | None, Tensor | None, Tensor | None],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of `norm_relu_pool_grad`: grad_z, grad_gamma and grad_dy.

    **Arguments** `saved` its z, mean, rstd, gamma, beta, dy; `cotangents` of dz, dgamma and dbeta (None: zero).
    mean and rstd count as functions of z, and the gradient for beta is zero.
    """
    (z, mean, rstd, gamma, beta, dy), (uz, ugamma, ubeta) = saved, cotangents
    rows = [mean, rstd, gamma, beta] + [u for u in (ugamma, ubeta) if u is not None]
    _check("norm_relu_pool_grad_grad", z, *rows, dy=dy)
    if uz is not None and uz.shape != z.shape:
        raise native._wrong("norm_relu_pool_grad_grad", z, uz)
    tensors = native._prepare("norm_pool_grad_grad", z, mean, rstd, gamma, beta, dy, uz, ugamma, ubeta)
    z, gamma, dy = tensors[0], tensors[3], tensors[5]
    outputs = torch.empty_like(z), torch.empty_like(gamma), torch.empty_like(dy)
    native._run("norm_pool_grad_grad", tensors, outputs, *z.shape)
    return outputs


def _pooled(z: Tensor) -> tuple[int, ...]:
    tasks, images, height, width, channels = z.shape
    return tasks, images, height // 2, width // 2, channels


def _check(name: str, z: Tensor, *rows: Tensor, dy: Tensor | None = None) -> None:
    fits = z.dim() == 5 and z.numel() > 0 and all(row.shape == (z.shape[0], z.shape[4]) for row in rows)
    if not fits or (dy is not None and dy.shape != _pooled(z)):
        raise native._wrong(name, z, *rows, *([] if dy is None else [dy]))
