"""Counter-based random streams: a draw depends on its key alone, never on earlier draws.

A key is (seed, purpose, step, task). Therefore two variants with the same seed have the same
tasks, whatever other random numbers each of them draws. A resumed run continues as if it had
never stopped. The draws of a task do not depend on the number of other tasks.

The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast
splittable pseudorandom number generators"), in wrapping 64-bit integer arithmetic, so that
it runs on the training device inside a captured graph and gives the same bits everywhere.
"""

import hashlib
import math

import torch
from torch import Tensor


def _signed(value: int) -> int:
    """The 64-bit pattern of `value` as torch's signed integer."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def _shift(z: Tensor, bits: int) -> Tensor:
    # torch shifts signed integers arithmetically; the mask makes it the logical shift.
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _FIRST
    z = (z ^ _shift(z, 27)) * _SECOND
    return z ^ _shift(z, 31)


def _absorb(state: Tensor, word: Tensor | int) -> Tensor:
    return _mix((state ^ word) + _GOLDEN)


def key(seeds: Tensor, purpose: str, step: Tensor | int, tasks: Tensor) -> Tensor:
    """One stream for each seed and task.

    **Arguments** `seeds` int64 [seeds]; `purpose` any name; `step` a number or int64
    scalar tensor; `tasks` int64 [tasks].
    **Returns** int64 [seeds, tasks].
    """
    name = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little", signed=True)
    state = _absorb(_absorb(_absorb(seeds, 0), name), step)
    return _absorb(state[:, None], tasks[None, :])


def bits(key: Tensor, count: int) -> Tensor:
    """Uniform 64-bit integers: `key` int64 [...] -> int64 [..., count]."""
    counter = torch.arange(1, count + 1, device=key.device) * _GOLDEN
    return _mix(_mix(key[..., None] + counter))


def uniform(key: Tensor, count: int) -> Tensor:
    """Uniform in the open interval (0, 1): `key` [...] -> float64 [..., count]."""
    return (_shift(bits(key, count), 11).double() + 0.5) * 2.0**-53


def normal(key: Tensor, count: int) -> Tensor:
    """Standard normal by Box and Muller (1958): `key` [...] -> float64 [..., count].

    A smaller `count` gives the first of the draws of a larger one.
    """
    pairs = uniform(key, count + count % 2).unflatten(-1, (-1, 2))
    radius = (-2.0 * pairs[..., 0].log()).sqrt()
    angle = (2.0 * math.pi) * pairs[..., 1]
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1).flatten(-2)[..., :count]


def choose(key: Tensor, population: int, count: int, size: Tensor | None = None) -> Tensor:
    """`count` different members of a population, in random order.

    **Arguments** `key` int64 [...]; `size` int64 [...], at least `count`: only the first
    `size` of the `population` members may be chosen.
    **Returns** int64 [..., count].
    """
    draws = uniform(key, population)
    if size is not None:
        absent = torch.arange(population, device=key.device) >= size[..., None]
        draws = draws.masked_fill(absent, -1.0)
    return draws.topk(count, dim=-1).indices
