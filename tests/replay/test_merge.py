"""Convolutions that are added, and weight gradients that join a sum: the same numbers in fewer operations."""

import pytest
import torch

from megan.ops import native
from megan.replay.clean import cleaned
from megan.replay.lower import lowered
from megan.replay.merge import merged
from megan.replay.record import record
from megan.replay.run import Replay

SHAPES = [(16, 24, 2), (3, 16, 1), (16, 1, 1), (9, 5, 2)]  # channels, outputs, stride


@pytest.fixture(autouse=True)
def kernels():
    if not native.available():
        pytest.skip(f"native kernels: {native.why_not()}")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def check(function, inputs):
    """The names of what is left after merging, for results that are the same on other values."""
    program = cleaned(record(function, inputs))
    values = [random(*value.shape, seed=20 + index) for index, value in enumerate(inputs)]
    again = Replay(program)
    for _ in range(2):
        for ours, theirs in zip(again(values), function(values), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    return [operation.target for operation in merged(lowered(program)).operations]


@pytest.mark.parametrize(("channels", "outputs", "stride"), SHAPES)
def test_two_convolutions_that_are_added(channels, outputs, stride):
    images = [random(2, 5, 7, 6, channels, seed=index) for index in (0, 1)]
    weights = [random(2, 3, 3, channels, outputs, seed=index) for index in (2, 3)]

    def function(inputs):
        x, y, v, w = inputs
        return [native.conv(x, v, stride) + native.conv(y, w, stride)]

    assert check(function, [*images, *weights]) == ["conv_pair"]


@pytest.mark.parametrize(("channels", "outputs", "stride"), SHAPES)
def test_two_gradients_to_images_that_are_added(channels, outputs, stride):
    size = (7 - 1) // stride + 1
    slopes = [random(2, 5, size, size, outputs, seed=index) for index in (0, 1)]
    weights = [random(2, 3, 3, channels, outputs, seed=index) for index in (2, 3)]

    def function(inputs):
        x, y, v, w = inputs
        return [native.conv_data_grad(x, v, 7, 7, stride) + native.conv_data_grad(y, w, 7, 7, stride)]

    assert check(function, [*slopes, *weights]) == ["conv_data_grad_pair"]


@pytest.mark.parametrize(("channels", "outputs", "stride"), SHAPES)
def test_a_weight_gradient_joins_a_sum(channels, outputs, stride):
    size = (7 - 1) // stride + 1
    x, slope = random(2, 5, 7, 7, channels), random(2, 5, size, size, outputs, seed=1)
    start = random(2, 3, 3, channels, outputs, seed=2)

    def function(inputs):
        x, slope, start = inputs
        total = start * 2
        for factor in (1.0, 3.0):
            total = total + native.conv_weight_grad(x, slope * factor, stride)
        return [total, total.sum()]

    names = check(function, [x, slope, start])
    assert names.count("conv_weight_grad_add") == 2 and "conv_weight_grad" not in names


def test_what_is_needed_elsewhere_stays():
    x, w = random(2, 5, 6, 6, 16), random(2, 3, 3, 16, 16, seed=1)

    def function(inputs):
        x, w = inputs
        one, two, total = native.conv(x, w, 1), native.conv(x, w * 2, 1), w * 3
        gradient = native.conv_weight_grad(x, one, 1)
        return [one + two, one * 2, total + gradient, total, w + gradient]

    names = check(function, [x, w])
    assert names.count("conv") == 2 and names.count("conv_weight_grad") == 1
