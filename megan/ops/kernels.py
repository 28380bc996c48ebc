"""The one place that chooses how a device computes the primitives.

CUDA: gathered patches and batched matrix products. CPU: the native kernels where they were
compiled beforehand or a C++ compiler is at hand, else the better of torch's formulations for
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
    """What `device` computes with: `gathered`, `by shape`, or `native`, with its level where it was built beforehand.

    It says what rounding depends on, so it goes to provenance, and no unfinished state passes from one to another.
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
    """The module with fused `norm_relu` kernels, or None where plain torch is to serve."""
    return native if not x.is_cuda and native.available() else None


def pools_with_normalisation(x: Tensor) -> bool:
    """Whether the kernels of `native_pooling` serve; else pooling follows normalisation."""
    return normalisation(x) is native
