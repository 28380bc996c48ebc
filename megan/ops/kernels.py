"""Chooses how a device computes the primitives. No other module does.

CUDA: gathered patches and batched matrix products. CPU: the native kernels if they were
compiled beforehand or a C++ compiler is installed, else the faster of torch's formulations for
each shape. `MEGAN_KERNEL` overrides the choice.
Max-pooling alone is plain torch everywhere. On a CPU it is one kernel with the batch norm and the ReLU before it.
"""

from types import ModuleType

from torch import Tensor

from megan.ops import by_shape, gathered, native, windows


def _formulation(x: Tensor) -> ModuleType:
    if x.is_cuda:
        return gathered
    return native if native.available() else by_shape


def name(device: str) -> str:
    """The kernels of `device`: `gathered`, `by shape`, or `native`, with its level if it was compiled beforehand.

    Rounding depends on it. So it is written to provenance, and an unfinished run does not continue with other kernels.
    """
    if device.startswith("cuda"):
        return "gathered"
    return f"native {native.level()}".strip() if native.available() else "by shape"


def conv(x: Tensor, w: Tensor, stride: int, padding: int) -> Tensor:
    return _formulation(x).conv(x, w, stride, padding)


def conv_data_grad(dz: Tensor, w: Tensor, height: int, width: int, stride: int, padding: int) -> Tensor:
    return _formulation(dz).conv_data_grad(dz, w, height, width, stride, padding)


def conv_weight_grad(x: Tensor, dz: Tensor, stride: int, padding: int) -> Tensor:
    return _formulation(x).conv_weight_grad(x, dz, stride, padding)


def max_pool(x: Tensor) -> tuple[Tensor, Tensor]:
    return windows.max_pool(x)


def pool_scatter(dy: Tensor, which: Tensor, height: int, width: int) -> Tensor:
    return windows.pool_scatter(dy, which, height, width)


def pool_gather(x: Tensor, which: Tensor) -> Tensor:
    return windows.pool_gather(x, which)


def normalisation(x: Tensor) -> ModuleType | None:
    """The module with fused `norm_relu` kernels, or None if plain torch computes it."""
    return native if not x.is_cuda and native.available() else None


def pools_with_normalisation(x: Tensor) -> bool:
    """Whether the kernels of `native_pooling` are used; if not, normalisation and pooling are two operations."""
    return normalisation(x) is native
