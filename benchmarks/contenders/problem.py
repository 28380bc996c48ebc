"""A problem: fixed random tasks and weights, the same for every contender, read from a file.

Layouts are megan's: images [tasks, images, height, width, channels], convolutions
[3, 3, channels, outputs], the head [features, outputs]. Imports torch alone.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Problem:
    variant: str  # of params.yaml
    options: dict  # its options in params.yaml, resolved
    sizes: dict  # of the networks: side, channels, filters, max_pool, flat
    ways: int
    steps: int
    rate: float  # inner step size
    meta_batch: int  # tasks that the gradient is a mean over
    support: Tensor  # [tasks, ways * shots, side, side, channels]
    query: Tensor  # [tasks, ways * queries, side, side, channels]
    support_labels: Tensor  # int64 [ways * shots]
    query_labels: Tensor  # int64 [ways * queries]
    keys: Tensor  # int64 [tasks]: megan's noise streams
    noise: Tensor | None  # [tasks, steps, fakes, noise_size]: what those streams give
    weights: dict[str, Tensor]  # without task axis

    def planar(self, images: Tensor) -> Tensor:
        """[tasks, images, height, width, channels] -> [tasks, images, channels, height, width], as torch's layers want.

        In memory too, where there are several channels: torch would else choose its kernels for channels last.
        """
        return images.movedim(-1, 2).contiguous()

    def save(self, path: Path) -> None:
        torch.save(vars(self), path)


def load(path: str | Path, tasks: range, device: str) -> Problem:
    """Some tasks of a saved problem, on a device."""
    content = torch.load(path, map_location=device, weights_only=True)
    for name in ("support", "query", "keys", "noise"):
        if content[name] is not None:
            content[name] = content[name][tasks.start : tasks.stop].clone()
    return Problem(**content)
