"""What the native program does for each operation of torch, in float64 and on views with odd layouts."""

import pytest
import torch
import torch.nn.functional as F

from megan.ops import native
from megan.replay import words
from megan.replay.clean import cleaned
from megan.replay.lower import lowered
from megan.replay.record import record
from megan.replay.run import Replay

aten = torch.ops.aten
LABELS = torch.tensor([2, 0, 4])


@pytest.fixture(autouse=True)
def kernels():
    if not native.available():
        pytest.skip(f"native kernels: {native.why_not()}")


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def channels_last(x):
    return x.contiguous(memory_format=torch.channels_last)


ELEMENTWISE = {
    "add": lambda x, y: x + y,
    "add a multiple": lambda x, y: torch.add(x, y, alpha=-0.3),
    "add a number": lambda x, y: x + 2 + (3 - y),
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y * 0.5,
    "divide": lambda x, y: x / y + 2 / y + x / 4,
    "broadcast": lambda x, y: x[:, :1] * y[0] + y.sum() * x.mean(),
    "addcmul": lambda x, y: torch.addcmul(x, y, x) + torch.addcmul(x, y, x, value=0.5),
    "square": lambda x, y: x.square() + y.pow(2) + (-x),
    "roots": lambda x, y: x.square().sqrt() + (y * y).rsqrt() + y.reciprocal(),
    "relu": lambda x, y: x.relu() + aten.threshold_backward(x, y, 0),
    "clamp": lambda x, y: x.clamp(-0.2, 0.3) + y.clamp(min=0.1) + y.clamp(max=0.1),
    "sigmoid": lambda x, y: x.sigmoid() + aten.sigmoid_backward(x, y),
    "tanh": lambda x, y: x.tanh() + aten.tanh_backward(x, y),
    "softplus": lambda x, y: F.softplus(30 * x) + aten.softplus_backward(x, 30 * y, 1, 20),
    "exponents": lambda x, y: x.exp() + (y * y).log(),
    "in place": lambda x, y: x.clone().add_(y, alpha=2).mul_(y).sub_(x).div_(3),
    "of a turned view": lambda x, y: x.t() * y.t()[:, ::1] + x.t(),
}
OTHERS = {
    "sums": lambda x, y: [x.sum(), x.sum(0), x.sum(1, keepdim=True), x.view(3, 5, 8).sum((0, 2)), x.t().sum(0)],
    "means": lambda x, y: [x.mean(), x.view(3, 5, 2, 4).mean((1, 3)), x.view(3, 5, 8).mean((1, 2), keepdim=True)],
    "sums of wide rows": lambda x, y: [(x[:, :, None] * y[0, :30]).sum(0), (x[:, :, None] * y[0, :30]).sum((0, 1))],
    "cat and stack": lambda x, y: [torch.cat([x, y[:, :3]], dim=1), torch.cat([x, y]), torch.stack([x, y], dim=-1)],
    "slices' gradients": lambda x, y: [
        aten.slice_backward(x, [3, 90], 1, 5, 85, 2),
        aten.select_backward(x[0], [2, 40], 0, -1),
    ],
    "repeat": lambda x, y: [x.repeat(1, 3), x.view(3, 5, 8).repeat(2, 1, 1), x[:, :2].repeat(2, 2)],
    "copies": lambda x, y: [x.t().contiguous(), x[:, ::2].clone(), x[:1].expand(4, -1).contiguous()],
    "fills": lambda x, y: [torch.zeros_like(x) + x, torch.ones_like(x) * y, x.new_zeros(2, 3) + x[:2, :3]],
    "matrix products": lambda x, y: [
        x @ y.t(),
        torch.bmm(x.view(3, 5, 8), y.view(3, 8, 5)),
        torch.bmm(x.view(3, 5, 8).mT, y.view(3, 8, 5).mT),
        torch.baddbmm(x.view(3, 5, 8)[:, :1, :5], x.view(3, 5, 8), y.view(3, 8, 5)),
        torch.bmm(x.view(3, 40, 1), y.view(3, 1, 40)),
    ],
    "picking": lambda x, y: [
        x[:, :5].gather(1, LABELS[:, None]),
        torch.zeros_like(x).scatter_add(1, LABELS[:, None], y[:, :1]),
    ],
    "log-softmax": lambda x, y: [
        x.view(3, 5, 8).log_softmax(-1),
        x.view(3, 5, 8)[..., :6].log_softmax(-1),
        aten._log_softmax_backward_data(x[:1].expand(3, -1), y, -1, torch.float64),
    ],
}


def check(function, dtype=torch.float64):
    """Compare the replay with torch on values that were not recorded, and see that nothing is left to torch."""
    program = cleaned(record(function, [random(3, 40, dtype=dtype), random(3, 40, seed=1, dtype=dtype)]))
    left = [str(operation.target) for operation in lowered(program).operations if not operation.is_native]
    assert not left
    values = [random(3, 40, seed=2, dtype=dtype), random(3, 40, seed=3, dtype=dtype)]
    tolerance = 1e-12 if dtype is torch.float64 else 1e-4
    for ours, theirs in zip(Replay(program)(values), function(values), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name, dtype):
    check(lambda inputs: [ELEMENTWISE[name](*inputs)], dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OTHERS)
def test_others(name, dtype):
    check(lambda inputs: OTHERS[name](*(value.clone() for value in inputs)), dtype)


def test_doubling_and_its_gradient():
    def function(inputs):
        x = channels_last(inputs[0].view(3, 4, 2, 5)).requires_grad_()
        large = F.interpolate(x, scale_factor=2, mode="nearest")
        return [large, torch.autograd.grad(large, x, channels_last(inputs[1].repeat(1, 4).view(3, 4, 4, 10)))[0]]

    check(function)


def test_not_a_number_stays_one():
    def function(inputs):
        x = inputs[0]
        return [x.relu(), x.clamp(-1, 1), x.sum(1), x.log_softmax(-1), aten.threshold_backward(x, x, 0)]

    again = Replay(cleaned(record(function, [random(3, 40)])))
    bad = random(3, 40)
    bad[1, 7] = float("nan")
    for ours, theirs in zip(again([bad]), function([bad]), strict=True):
        assert torch.equal(ours.isnan(), theirs.isnan()) and theirs.isnan().any()


def test_what_the_native_program_does_not_know_is_left_to_torch():
    def function(inputs):
        x, y = inputs
        return [(x + y).double().cumsum(1) * 2, torch.where(x > y, x, y) + 1]

    program = cleaned(record(function, [random(3, 40), random(3, 40, seed=1)]))
    assert {operation.is_native for operation in lowered(program).operations} == {True, False}
    values = [random(3, 40, seed=2), random(3, 40, seed=3)]
    for ours, theirs in zip(Replay(program)(values), function(values), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


def test_names_are_those_of_the_source():
    codes = words.numbers("Code")
    assert codes["conv"] == 0 and {"conv_data_grad", "norm_grad_grad", "loop", "log_softmax_grad"} <= codes.keys()
    assert {"add_scaled", "softplus_grad"} <= words.numbers("Step").keys()
