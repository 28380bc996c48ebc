"""Records of small computations, what cleaning leaves of them, and the arena."""

import ctypes

import pytest
import torch

from megan.ops import native
from megan.replay import arena, run
from megan.replay.clean import cleaned
from megan.replay.record import Unrecordable, record
from megan.replay.run import Replay


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def names(program):
    return [str(operation.target).split(".")[1] for operation in program.operations]


def replayed(function, *shapes):
    """The cleaned program of `function`, checked on values that it was not recorded with."""
    program = cleaned(record(function, [random(*shape, seed=index) for index, shape in enumerate(shapes)]))
    again = Replay(program)
    for seed in (5, 7):
        values = [random(*shape, seed=seed + index) for index, shape in enumerate(shapes)]
        wanted = function(values)
        for ours, theirs in zip(again(values), wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)
    return program


def test_views_and_writes_through_them():
    def function(inputs):
        (x,) = inputs
        turned = x.t()[1:, ::2].clone()
        wide = x[:, :1].expand(-1, 6).contiguous()
        turned[0] = 3.0
        turned[:, 1] += wide[0, 0]
        return [turned, wide.view(2, -1), x.select(0, 1)]

    replayed(function, (4, 5))


def test_what_nobody_needs_is_not_done():
    def function(inputs):
        x, y = inputs
        (x * y).exp().sum()
        return [x + y]

    assert names(replayed(function, (3,), (3,))) == ["add"]


def test_the_same_twice_is_done_once():
    def function(inputs):
        (x,) = inputs
        return [x.exp() + 1.0, x.exp() + 1.0, x.exp() + 2.0]

    assert names(replayed(function, (3,))) == ["exp", "add", "add"]


def test_what_is_written_again_is_not_the_same():
    def function(inputs):
        (x,) = inputs
        first, second = x.exp(), x.exp()
        first += 1.0
        return [first, second]

    assert names(replayed(function, (3,))) == ["exp", "exp", "add_"]


def test_constants_are_made_beforehand():
    def function(inputs):
        (x,) = inputs
        mask = torch.ones(3, dtype=x.dtype)
        mask[1:] = 0
        return [x * mask + torch.arange(3)]

    assert names(replayed(function, (3,))) == ["mul", "add"]


def test_gradients_of_every_order():
    def function(inputs):
        (x,) = inputs
        x = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(x.square().sigmoid().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.tanh().square().sum(), x)
        return [first, second]

    replayed(function, (2, 3))


@pytest.mark.parametrize(
    "function", [lambda x: [torch.rand(3) + x[0]], lambda x: [x[0] * float(x[0][0])], lambda x: [x[0][x[0] > 0]]]
)
def test_chance_and_decisions_are_refused(function):
    with pytest.raises(Unrecordable, match="at another time"):
        record(function, [torch.rand(3)])


def test_changes_elsewhere_are_refused():
    total = torch.zeros(3)
    with pytest.raises(Unrecordable, match="made elsewhere"):
        record(lambda inputs: [total.add_(inputs[0])], [torch.rand(3)])


def test_what_was_not_seen_to_be_written_is_refused():
    def function(inputs):
        made = torch.empty_like(inputs[0])
        ctypes.memset(made.data_ptr(), 0, made.nbytes)
        return [made + inputs[0]]

    with pytest.raises(Unrecordable, match="not seen"):
        record(function, [torch.rand(3)])


def test_a_kernel_without_an_instruction_is_called_by_itself(monkeypatch):
    if not native.available():
        pytest.skip(f"native kernels: {native.why_not()}")
    monkeypatch.setattr(run, "known", lambda operation: operation.is_native and operation.target != "norm")

    def function(inputs):
        z, gamma, beta = inputs
        return [native.norm_relu(z * 2, gamma, beta, 1e-5)[0] + z]

    program = replayed(function, (2, 5, 3), (2, 3), (2, 3))
    assert "norm" in [operation.target for operation in program.operations]


def test_a_mask_that_no_input_decides_is_no_decision():
    mask = torch.tensor([True, False, True])
    replayed(lambda inputs: [inputs[0][mask] * int(mask.sum())], (3,))


def overlapping(program, plan):
    """Pairs of buffers that are needed at the same time and share bytes."""
    spans = arena.lifetimes(program)
    places = {buffer: (plan.starts[buffer], plan.starts[buffer] + program.sizes[buffer]) for buffer in spans}
    return [
        (a, b)
        for a in spans
        for b in spans
        if a < b
        and spans[a][0] <= spans[b][1]
        and spans[b][0] <= spans[a][1]
        and places[a][0] < places[b][1]
        and places[b][0] < places[a][1]
    ]


def test_no_two_live_buffers_share_a_place():
    def function(inputs):
        values = list(inputs)
        for index in range(60):
            a, b = values[(7 * index) % len(values)], values[(11 * index + 3) % len(values)]
            values.append(torch.cat([a.flatten(), b.flatten()[: index % 5 + 1]]).sin())
        return [values[-1], values[9].sum(), values[40]]

    program = replayed(function, (3,), (20,), (7,))
    plan = arena.plan(program)
    assert not overlapping(program, plan)
    assert plan.size < 0.6 * sum(program.sizes[buffer] for buffer in plan.starts), "nothing shares a place"
    assert all(start % arena.ALIGNMENT == 0 for start in plan.starts.values())
    begin = dict.fromkeys(plan.starts, 0)
    assert overlapping(program, arena.Plan(begin, plan.size)), "the check finds nothing"


def test_results_outlive_the_next_run():
    again = Replay(cleaned(record(lambda inputs: [inputs[0] * 2], [torch.ones(3)])))
    (first,) = again([torch.ones(3)])
    again([torch.zeros(3)])
    assert first.tolist() == [2, 2, 2]
