import numpy
import pytest
import torch

from megan.data import packed
from megan.data.episodes import Episodes


@pytest.fixture
def make_episodes():
    """Random float64 tasks; images of uniform noise, since ReLU masks must not sit on ties."""

    def make(tasks=2, ways=3, shots=1, queries=2, seed=0, size=28, channels=1):
        source = torch.Generator().manual_seed(seed)
        label = torch.arange(ways)
        return Episodes(
            support=torch.rand(tasks, ways * shots, size, size, channels, generator=source, dtype=torch.float64),
            query=torch.rand(tasks, ways * queries, size, size, channels, generator=source, dtype=torch.float64),
            support_labels=label.repeat_interleave(shots),
            query_labels=label.repeat_interleave(queries),
            classes=torch.zeros(tasks, ways, dtype=torch.int64),
            key=torch.randint(2**62, (tasks,), generator=source),
            ways=ways,
            others=torch.rand(tasks, ways * shots, size, size, channels, generator=source, dtype=torch.float64),
            prototypes=torch.rand(tasks, ways, 6, generator=source, dtype=torch.float64),
        )

    return make


@pytest.fixture
def split(tmp_path, monkeypatch):
    """Random drawings, 28 pixels square: two alphabets of seven characters."""
    monkeypatch.setenv("MEGAN_CHUNK", "2")
    source = numpy.random.default_rng(0)
    packed.write(
        tmp_path / "test",
        {letter: source.integers(0, 256, (7, 20, 28, 28), dtype=numpy.uint8) for letter in "AB"},
        {x: list("abcdefg") for x in "AB"},
    )
    return packed.load(tmp_path / "test")
