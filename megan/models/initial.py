"""Initial weights from counter-based random streams. Equal names give equal weights in every variant."""

import math

import torch
from torch import Tensor

from megan.ops import streams

Weights = dict[str, Tensor]


def normal(seeds: Tensor, name: str, shape: tuple[int, ...], deviation: float, dtype: torch.dtype) -> Tensor:
    """[seeds, *shape] of normal draws keyed by seed and name."""
    key = streams.key(seeds, f"initial/{name}", 0, torch.zeros(1, dtype=torch.int64, device=seeds.device))
    draws = streams.normal(key[:, 0], math.prod(shape))
    return (deviation * draws).to(dtype).view(len(seeds), *shape)


def conv(seeds: Tensor, name: str, channels: int, outputs: int, dtype: torch.dtype) -> Tensor:
    """[seeds, 3, 3, channels, outputs] after Glorot and Bengio 2010, as in the MAML network.

    Drawn channel by channel, so that one more input channel does not change the other draws. In a
    first layer further channels do not count in the deviation, or a constant plane would shrink it.
    """
    fan_in = 1 if channels < 8 else channels
    deviation = math.sqrt(2 / (9 * fan_in + 9 * outputs))
    return normal(seeds, name, (channels, 3, 3, outputs), deviation, dtype).permute(0, 2, 3, 1, 4).contiguous()


def he(seeds: Tensor, name: str, shape: tuple[int, int, int], known: int, dtype: torch.dtype) -> Tensor:
    """[seeds, side, side, channels, outputs] of shape (side, channels, outputs) after He et al. 2015.

    Drawn channel by channel, as above. `known`: the channels that count in the deviation.
    """
    side, channels, outputs = shape
    deviation = math.sqrt(2 / (side**2 * known))
    drawn = normal(seeds, name, (channels, side, side, outputs), deviation, dtype)
    return drawn.permute(0, 2, 3, 1, 4).contiguous()


def norm(seeds: Tensor, channels: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Scale gamma = 1 and shift beta = 0, each [seeds, channels]."""
    shape = (len(seeds), channels)
    return torch.ones(shape, dtype=dtype, device=seeds.device), torch.zeros(shape, dtype=dtype, device=seeds.device)
