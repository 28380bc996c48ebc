"""Does a captured graph compute what eager code does, and what a CPU does? In float64, for six kinds of variant."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from torch import Tensor

from benchmarks.gpu.setting import KINDS, Size, build
from benchmarks.measure import relative_error
from benchmarks.tables import Row
from megan.meta import capture

ITERATIONS = 3
TOLERANCE = 1e-8  # relative, as among the peers


class WrongError(Exception):
    """Two ways to compute the same differ; the message says which."""


@contextmanager
def eager() -> Iterator[None]:
    with patch.object(capture, "captured", lambda advance, state: advance):
        yield


@contextmanager
def watched(graphs: list[bool]) -> Iterator[None]:
    """Notes for each capture whether it gave a graph: one that fails would be compared with itself."""
    real = capture.captured

    def noted(advance: Callable[[], None], state: dict[str, Tensor]) -> Callable[[], None]:
        run = real(advance, state)
        graphs.append(run is not advance)
        return run

    with patch.object(capture, "captured", noted):
        yield


def first_moments(kind: str, size: Size, device: str, queries: int) -> dict[str, Tensor]:
    """Adam's first moments after some meta-iterations: means of outer gradients, by weight, on the CPU."""
    made = build(kind, size, device, queries, 2, "float64")
    for _ in range(ITERATIONS):
        made.advance()
    return {name: value.cpu().clone() for name, value in made.state.part("first").items()}


def rows(device: str, size: Size) -> list[Row]:
    """**Raises** `WrongError` where a difference is above `TOLERANCE`; before that all rows are complete."""
    found, wrong = [], []
    for kind in KINDS:
        graphs: list[bool] = []
        queries = min(size.queries)
        with watched(graphs):
            captured = first_moments(kind, size, device, queries)
        with eager():
            plain = first_moments(kind, size, device, queries)
        on_cpu = first_moments(kind, size, "cpu", queries)
        differences = relative_error(captured, plain), relative_error(plain, on_cpu)
        row = {
            "kind": kind,
            "captured": "yes" if all(graphs) and graphs else "no",
            "graph off eager by": f"{differences[0]:.0e}",
            "off the CPU by": f"{differences[1]:.0e}",
        }
        found.append(row)
        if not max(differences) < TOLERANCE:
            wrong.append(str(row))
    if wrong:
        raise WrongError("; ".join(wrong))
    return found
