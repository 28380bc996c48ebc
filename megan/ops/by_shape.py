"""The convolution's three primitives in plain torch on a CPU: gathered or separate, whichever is faster for a shape.

`gathered` copies the patches of all tasks and takes one batched product, so it is faster for small
tensors: each convolution of `separate` has an overhead of about 0.07 ms. On chunks of four tasks both
take the same time at about `FEW` numbers, in every layer (`benchmarks/kernels.py`). Gradients for
one or two channels are an exception: torch's convolution is slow for them at any size.
Shapes as in `convolution`.
"""

from types import ModuleType

from torch import Tensor

from megan.ops import gathered, separate
from megan.ops.extent import outputs

FEW = 80_000  # numbers in the patches and outputs of one task


def _better(dz: tuple[int, ...], channels: int) -> ModuleType:
    """The faster module for a layer with outputs of shape `dz`, [tasks, images, height, width, outputs]."""
    _, images, height, width, outputs = dz
    return gathered if images * height * width * (9 * channels + outputs) <= FEW else separate


def conv(x: Tensor, w: Tensor, stride: int, padding: int = 1) -> Tensor:
    tasks, images, height, width, channels = x.shape
    rows, columns = (outputs(size, stride, padding) for size in (height, width))
    return _better((tasks, images, rows, columns, w.shape[4]), channels).conv(x, w, stride, padding)


def conv_data_grad(dz: Tensor, w: Tensor, height: int, width: int, stride: int, padding: int = 1) -> Tensor:
    channels = w.shape[3]
    module = gathered if channels <= 2 else _better(dz.shape, channels)
    return module.conv_data_grad(dz, w, height, width, stride, padding)


def conv_weight_grad(x: Tensor, dz: Tensor, stride: int, padding: int = 1) -> Tensor:
    return _better(dz.shape, x.shape[4]).conv_weight_grad(x, dz, stride, padding)
