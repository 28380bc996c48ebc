"""Work on chunks of tasks, recorded once for each shape and replayed from then on (`megan.replay`).

Recording takes about as long as computing three chunks, and a replay saves a third or more of the time, so only
long work is recorded. Its length is computed from the parameters, so a resumed run continues in the same way.
"""

import contextlib
import ctypes
import dataclasses
import threading
from collections.abc import Callable, Sequence

from torch import Tensor

from megan.data.episodes import Episodes
from megan.meta.parallel import Chunk, Workers, is_out_of_memory
from megan.meta.processes import Tensors
from megan.models.initial import Weights
from megan.ops import native
from megan.replay.clean import cleaned
from megan.replay.record import record
from megan.replay.run import Replay
from megan.runs import progress

LONG_TRAINING = 20  # meta-steps from which a training is recorded
LONG_EVALUATION = 200  # tasks, of all seeds together, from which an evaluation is recorded

Function = Callable[[Weights, Episodes], Tensors]


class Replayed:
    """`function` of the weights of a seed [1, ...] and of tasks, replayed; `joined` combines the results of tasks.

    With native kernels each task is replayed by itself: several at once would not be faster, and the values of
    one stay in the cache. A function that cannot be recorded is called directly.
    """

    def __init__(self, function: Function, joined: Callable[[list[Tensors]], Tensors]) -> None:
        self.function, self.joined = function, joined
        self._own = threading.local()  # a replay has one arena, so each thread has its own

    def __call__(self, weights: Weights, episodes: Episodes) -> Tensors:
        found = []
        for part in _parts(episodes):
            recorded = self._found(weights, part)
            if recorded is None:
                return self.function(weights, episodes)
            names, replay = recorded
            found.append(dict(zip(names, replay(_tensors(weights, part)), strict=True)))
        return self.joined(found)

    def prepare(self, weights: Weights, episodes: Episodes) -> None:
        """Record for the shapes of these arguments, unless there is a record already."""
        self._found(weights, _parts(episodes)[0])

    def _found(self, weights: Weights, episodes: Episodes) -> tuple[list[str], Replay] | None:
        if not hasattr(self._own, "replays"):
            self._own.replays = {}
        replays, key = self._own.replays, _key(weights, episodes)
        if key not in replays:
            replays[key] = self._recorded(weights, episodes)
        return replays[key]

    def _recorded(self, weights: Weights, episodes: Episodes) -> tuple[list[str], Replay] | None:
        names: list[str] = []

        def outputs(tensors: Sequence[Tensor]) -> list[Tensor]:
            result = self.function(*_with_tensors(weights, episodes, tensors))
            names[:] = result
            return list(result.values())

        try:
            program = cleaned(record(outputs, _tensors(weights, episodes)))
            _give_back()  # the graph of the recorded chunk held as much memory as the arena will
            return names, Replay(program)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            # An error of the function itself is raised again when it is called directly.
            progress.say(f"not recorded, computed step by step: {type(error).__name__}: {str(error):.300}")
            return None


def _give_back() -> None:
    """Return freed memory to the system, if the C library can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@dataclasses.dataclass(eq=False)
class ChunkWork:
    """`function` of the `inputs` of a chunk: the work that `Workers.map_chunks` distributes to processes."""

    inputs: Callable[[Chunk], tuple[Weights, Episodes]]
    function: Function | Replayed

    def __call__(self, chunk: Chunk) -> Tensors:
        return self.function(*self.inputs(chunk))

    def prepare(self, chunks: Sequence[Chunk]) -> None:
        """Record a chunk of each size before processes are forked, so that they inherit the record."""
        if isinstance(self.function, Replayed):
            for chunk in {len(chunk[1]): chunk for chunk in chunks}.values():
                self.function.prepare(*self.inputs(chunk))


def replayed(
    function: Function, joined: Callable[[list[Tensors]], Tensors], workers: Workers, is_long: bool
) -> Function | Replayed:
    """`function`, replayed if that saves time: for long work on a CPU. (On CUDA a whole step is one graph.)"""
    return Replayed(function, joined) if workers.is_cpu and is_long else function


def _parts(episodes: Episodes) -> list[Episodes]:
    """The tasks that are replayed at a time: one with native kernels, all in plain torch."""
    if not native.available():
        return [episodes]
    return [episodes.part(slice(task, task + 1)) for task in range(len(episodes.support))]


def _fields(episodes: Episodes) -> list[str]:
    """The fields that differ from chunk to chunk. Labels do not: the record contains them as constants."""
    names = [field.name for field in dataclasses.fields(episodes) if not field.name.endswith("_labels")]
    return [name for name in names if isinstance(getattr(episodes, name), Tensor)]


def _tensors(weights: Weights, episodes: Episodes) -> list[Tensor]:
    return [*weights.values(), *(getattr(episodes, name) for name in _fields(episodes))]


def _with_tensors(weights: Weights, episodes: Episodes, tensors: Sequence[Tensor]) -> tuple[Weights, Episodes]:
    """The same arguments with other tensors, in the order of `_tensors`."""
    own, others = tensors[: len(weights)], tensors[len(weights) :]
    changed = dict(zip(_fields(episodes), others, strict=True))
    return dict(zip(weights, own, strict=True)), dataclasses.replace(episodes, **changed)  # type: ignore[arg-type]


def _key(weights: Weights, episodes: Episodes) -> tuple:
    """All that a record depends on, except the values of `_tensors`."""
    shapes = [(tuple(value.shape), value.dtype) for value in _tensors(weights, episodes)]
    labels = [tuple(value.tolist()) for value in (episodes.support_labels, episodes.query_labels)]
    return (tuple(weights), tuple(_fields(episodes)), tuple(shapes), tuple(labels), episodes.ways)
