"""The task sampler: few-shot tasks cut from packed images on the training device (section 2.2).

No Python loop runs over tasks, and nothing waits for the device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from megan.data import streams
from megan.data.packed import Split


@dataclass(frozen=True)
class Episodes:
    """A batch of tasks, the seeds' tasks one after the other along the leading axis.

    Images are channels-last with ink = 1. The classes of a task come in random order, so
    the label of an image is its class's place: images 0..K-1 are class 0, and so on.
    """

    support: Tensor  # [seeds * tasks, ways * shots, height, width, channels]
    query: Tensor  # [seeds * tasks, ways * queries, height, width, channels]
    support_labels: Tensor  # int64 [ways * shots]
    query_labels: Tensor  # int64 [ways * queries]
    classes: Tensor  # int64 [seeds * tasks, ways]: rows of the split's images
    key: Tensor  # int64 [seeds * tasks]: the stream of the task's noise
    ways: int


def sample(
    split: Split,
    seeds: Tensor,
    purpose: str,
    step: Tensor | int,
    tasks: Tensor,
    *,
    ways: int,
    shots: int,
    queries: int,
    scope: str,
    dtype: torch.dtype = torch.float32,
) -> Episodes:
    """Draw the tasks of one meta-iteration.

    **Arguments** `seeds` int64 [seeds]; `purpose`, `step` and `tasks` int64 [tasks] key the
    streams; `scope` is `alphabet` (an alphabet uniformly among those with enough
    characters, then `ways` of its classes) or `any` (`ways` classes of the split).
    **Raises** `ValueError` when no alphabet of the split has `ways` classes.
    """

    def stream(name: str) -> Tensor:
        return streams.key(seeds, f"{purpose}/{name}", step, tasks).flatten()

    if scope == "alphabet":
        usable = split.usable_alphabets(ways)
        alphabet = usable[(streams.uniform(stream("alphabet"), 1)[:, 0] * len(usable)).long()]
        size = split.size[alphabet]
        classes = split.first[alphabet][:, None] + streams.choose(stream("class"), split.largest, ways, size)
    else:
        if len(split.images) < ways:
            raise ValueError(f"{len(split.images)} classes cannot make a task of {ways} ways")
        classes = streams.choose(stream("class"), len(split.images), ways)

    # The drawings of each class: a stream a class, by its place in the task.
    places = streams.bits(stream("drawing"), ways)
    drawings = streams.choose(places, split.images.shape[1], shots + queries)
    images = split.images[classes[..., None], drawings]  # [T, ways, shots + queries, H, W]
    images = (images.to(dtype) / 255)[..., None]
    support, query = images.split([shots, queries], dim=2)
    label = torch.arange(ways, device=split.images.device)
    return Episodes(
        support=support.flatten(1, 2),
        query=query.flatten(1, 2),
        support_labels=label.repeat_interleave(shots),
        query_labels=label.repeat_interleave(queries),
        classes=classes,
        key=stream("noise"),
        ways=ways,
    )
