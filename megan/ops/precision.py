"""The meaning of `train.precision`: the type of weights and images, and how CUDA multiplies.

`tf32` keeps float32 and allows CUDA to round the factors of matrix products and convolutions to 10 bits of
mantissa. That changes numbers by far more than rounding, so it is a parameter and part of what identifies a
result; under `float32` no factor is rounded. On a CPU the two are the same.
"""

import torch


def use(name: str) -> torch.dtype:
    """Switch this process to a precision, and return the type of its tensors."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    return torch.float64 if name == "float64" else torch.float32
