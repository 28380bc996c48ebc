"""`train.precision`: the type of tensors, and whether CUDA may round factors."""

import pytest
import torch

from megan.ops import precision


@pytest.fixture(autouse=True)
def as_before():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    ("name", "dtype", "rounds"),
    [("float32", torch.float32, False), ("tf32", torch.float32, True), ("float64", torch.float64, False)],
)
def test_a_precision_is_a_type_and_a_way_to_multiply(name, dtype, rounds):
    for other in ("tf32", "float32"):  # whatever was in use before
        precision.use(other)
        assert precision.use(name) is dtype
        assert torch.backends.cuda.matmul.allow_tf32 is rounds and torch.backends.cudnn.allow_tf32 is rounds
