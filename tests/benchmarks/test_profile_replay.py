"""The profile of a recorded meta-gradient counts every operation, and notices arithmetic that should not be there."""

import pytest
import torch

from benchmarks import flops, problems, profile_replay
from megan.ops import native

pytestmark = pytest.mark.skipif(not native.available(), reason="no kernels: nothing is lowered to the native program")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setenv("MEGAN_THREADS", "1")
    monkeypatch.setenv("MEGAN_CHUNK", str(profile_replay.TASKS))
    monkeypatch.setattr(profile_replay, "ROUNDS", 1)
    monkeypatch.setattr(profile_replay, "matrix_product", lambda device: 1e11)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_parts_are_the_whole():
    rows, about = profile_replay.measure(problems.KINDS["maml-q1"])
    *parts, apart, whole = rows
    assert sum(int(row["calls a task"]) for row in parts) == pytest.approx(int(whole["calls a task"]), abs=len(parts))
    assert sum(float(row["ms a task"]) for row in parts) == pytest.approx(float(apart["ms a task"]), abs=0.1)
    assert [row["part"] for row in parts if row["GFLOP/s"]] == ["weight gradient", "data gradient", "convolution"]
    assert about["problem"] == "MAML, 1 query a class"


def test_other_arithmetic_than_the_mathematics_needs_is_an_error(monkeypatch):
    needed = flops.maml
    monkeypatch.setattr(flops, "maml", lambda *sizes: needed(*sizes) + 2)
    with pytest.raises(AssertionError, match="FLOPs counted"):
        profile_replay.measure(problems.KINDS["maml-q1"])
