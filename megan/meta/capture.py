"""A meta-iteration as one CUDA graph: captured once, then replayed; eager where it cannot be captured."""

from collections.abc import Callable

import torch
from torch import Tensor

from megan.meta.parallel import is_out_of_memory
from megan.runs import progress

WARM_UPS = 3  # eager iterations before capture, for lazy initialisation and autotuning


def captured(advance: Callable[[], None], state: dict[str, Tensor]) -> Callable[[], None]:
    """`advance`, which changes `state` in place, as one graph; or `advance` itself, and a message, if capture fails.

    Warm-up and capture leave `state` as it was.
    **Raises** what `advance` raises without a capture, and `RuntimeError` if memory does not suffice.
    """
    before = {name: value.clone() for name, value in state.items()}
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                advance()
        torch.cuda.current_stream().wait_stream(stream)
        return _recorded(advance)
    finally:
        for name, value in state.items():
            value.copy_(before[name])


def _recorded(advance: Callable[[], None]) -> Callable[[], None]:
    try:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            advance()
    except RuntimeError as error:  # torch raises nothing narrower for an operation that a graph cannot hold
        if is_out_of_memory(error):  # a graph holds all its tensors at once: smaller chunks may fit
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        progress.say(f"no CUDA graph, so the kernels of every meta-iteration are launched one by one: {reason:.200}")
        return advance
    return graph.replay
