"""The task sampler: draws few-shot tasks from packed images on the training device (section 2.2).

There is no Python loop over tasks, and nothing waits for the device.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from megan.data.packed import Split
from megan.ops import streams


@dataclass(frozen=True)
class Episodes:
    """A batch of tasks. Along the leading axis are all tasks of the first seed, then those of the next.

    Images are channels-last, 0 to 1. The classes of a task are in random order, and the
    position of a class is its label: images 0..K-1 are class 0, and so on.
    """

    support: Tensor  # [seeds * tasks, ways * shots, height, width, channels]
    query: Tensor  # [seeds * tasks, ways * queries, height, width, channels]
    support_labels: Tensor  # int64 [ways * shots]
    query_labels: Tensor  # int64 [ways * queries]
    classes: Tensor  # int64 [seeds * tasks, ways]: rows of the split's images
    key: Tensor  # int64 [seeds * tasks]: key of the random stream of the task's noise
    ways: int
    others: Tensor | None = None  # [seeds * tasks, ways * shots * others, height, width, channels]: other classes
    prototypes: Tensor | None = None  # [seeds * tasks, ways, features]: mean embedding of a class's support

    def part(self, tasks: slice) -> "Episodes":
        """A part of the tasks."""
        return replace(
            self,
            support=self.support[tasks],
            query=self.query[tasks],
            classes=self.classes[tasks],
            key=self.key[tasks],
            others=None if self.others is None else self.others[tasks],
            prototypes=None if self.prototypes is None else self.prototypes[tasks],
        )


@dataclass(frozen=True)
class Sampler:
    """Draws tasks from one split.

    `scope` is `alphabet` (choose an alphabet uniformly among those with enough characters, then
    `ways` of its classes) or `any` (choose `ways` classes of the split). If `others` is not 0, a task
    also has `ways` further classes, chosen together with the first, and for each support drawing
    `others` drawings of these.
    """

    split: Split
    ways: int
    shots: int
    scope: str
    others: int = 0
    dtype: torch.dtype = torch.float32

    def sample(self, seeds: Tensor, purpose: str, step: Tensor | int, tasks: Tensor, queries: int) -> Episodes:
        """Draw the tasks `tasks` of each seed, with `queries` query drawings per class.

        **Arguments** `seeds` int64 [seeds]; `purpose`, `step` and `tasks` int64 [tasks] key the
        streams. The support does not depend on the number of queries or `others`.
        **Raises** `ValueError` if no alphabet of the split has enough classes.
        """
        split, ways, shots, others = self.split, self.ways, self.shots, self.others

        def stream(name: str) -> Tensor:
            return streams.key(seeds, f"{purpose}/{name}", step, tasks).flatten()

        count = 2 * ways if others else ways
        classes = self._classes(stream, count)
        # The drawings of each class. Each class position in the task has its own stream.
        places = streams.bits(stream("drawing"), count)
        drawings = streams.choose(places, split.images.shape[1], max(shots + queries, shots * others))

        def images(which: slice, first: int, last: int) -> Tensor:
            picked = split.images[classes[:, which, None], drawings[:, which, first:last]]  # [T, ways, drawings, ...]
            return (picked.to(self.dtype) / 255).flatten(1, 2)

        prototypes = None
        own, other = slice(ways), slice(ways, count)
        if split.embedding is not None:
            prototypes = split.embedding[classes[:, own, None], drawings[:, own, :shots]].mean(dim=2).to(self.dtype)
        label = torch.arange(ways, device=split.images.device)
        return Episodes(
            support=images(own, 0, shots),
            query=images(own, shots, shots + queries),
            support_labels=label.repeat_interleave(shots),
            query_labels=label.repeat_interleave(queries),
            classes=classes[:, own],
            key=stream("noise"),
            ways=ways,
            others=images(other, 0, shots * others) if others else None,
            prototypes=prototypes,
        )

    def classes(self, seeds: Tensor, purpose: str, step: Tensor | int, tasks: Tensor) -> Tensor:
        """Rows of the split's images, int64 [seeds * tasks, ways]: the classes that `sample` draws."""

        def stream(name: str) -> Tensor:
            return streams.key(seeds, f"{purpose}/{name}", step, tasks).flatten()

        return self._classes(stream, 2 * self.ways if self.others else self.ways)[:, : self.ways]

    def _classes(self, stream: Callable[[str], Tensor], count: int) -> Tensor:
        """Rows of the split's images, int64 [seeds * tasks, count]."""
        split = self.split
        if self.scope == "alphabet":
            usable = split.usable_alphabets(count)
            alphabet = usable[(streams.uniform(stream("alphabet"), 1)[:, 0] * len(usable)).long()]
            return split.first[alphabet][:, None] + streams.choose(
                stream("class"), split.largest, count, split.size[alphabet]
            )
        if len(split.images) < count:
            raise ValueError(
                f"{len(split.images)} classes cannot make a task of {self.ways} ways"
                + f" and {self.ways} others" * bool(self.others)
            )
        return streams.choose(stream("class"), len(split.images), count)


@dataclass(frozen=True)
class TaskSet:
    """The first `count` tasks of each seed for one purpose. They are the same for every variant."""

    sampler: Sampler
    seeds: Tensor  # int64 [seeds]
    purpose: str
    count: int
    queries: int

    def sample(self, group: slice, numbers: Tensor) -> Episodes:
        """The tasks `numbers` of the seeds `group`."""
        return self.sampler.sample(self.seeds[group], self.purpose, 0, numbers, self.queries)

    def alphabets(self) -> list[str]:
        """The alphabet of each task, all tasks of the first seed first; "" if its classes are of several alphabets."""
        split, numbers = self.sampler.split, torch.arange(self.count, device=self.seeds.device)
        rows = split.alphabet[self.sampler.classes(self.seeds, self.purpose, 0, numbers)]
        whole = (rows == rows[:, :1]).all(dim=1)
        return [
            split.alphabet_names[first] if one else ""
            for first, one in zip(rows[:, 0].tolist(), whole.tolist(), strict=True)
        ]
