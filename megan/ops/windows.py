"""2x2 max-pooling and its adjoints in plain torch, for every device.

x [tasks, images, height, width, channels]; y [tasks, images, height // 2, width // 2, channels]; `which` uint8 of y's
shape: the place of the largest pixel in its window, 0 to 3 by row.
"""

from collections.abc import Iterator

import torch
from torch import Tensor


def _quarters(x: Tensor) -> Iterator[Tensor]:
    """The first, second, third and fourth pixel of every window, as views."""
    rows, columns = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    for place in range(4):
        yield x[:, :, place // 2 : rows : 2, place % 2 : columns : 2]


def max_pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """y and `which`."""
    first, *others = _quarters(x)
    y, which = first.contiguous(), torch.zeros(first.shape, dtype=torch.uint8, device=x.device)
    for place, other in enumerate(others, 1):
        larger = other > y
        which.masked_fill_(larger, place)
        y = torch.maximum(y, other)
    return y, which


def pool_scatter(dy: Tensor, which: Tensor, height: int, width: int) -> Tensor:
    """x with dy in the pixels that `which` names, zero elsewhere."""
    x = dy.new_zeros(*dy.shape[:2], height, width, dy.shape[4])
    for place, quarter in enumerate(_quarters(x)):
        quarter.copy_(dy * (which == place))
    return x


def pool_gather(x: Tensor, which: Tensor) -> Tensor:
    """Of each window the pixel that `which` names."""
    first, *others = _quarters(x)
    y = first.contiguous()
    for place, other in enumerate(others, 1):
        y = torch.where(which == place, other, y)
    return y
