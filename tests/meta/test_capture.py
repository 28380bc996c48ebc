"""What CUDA asks of the engine, as far as a machine without CUDA can tell.

Tensors on torch's `meta` device have shapes but no values. So code that waits for a value on
the host, which would break a capture, raises here. They stand for tensors on CUDA: torch's own
fake ones cannot be differentiated where there is no driver.
"""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from megan.config import params
from megan.data.episodes import Sampler, TaskSet
from megan.data.packed import Split
from megan.meta import bounds, capture, generation, systems
from megan.meta.evaluate import Evaluation
from megan.meta.iteration import OuterLoop, State, iteration
from megan.meta.parallel import Workers
from megan.models import sizes
from megan.ops import gathered, kernels


class MetaWorkers(Workers):
    """A device that is no CPU: all seeds in one chunk, no threads."""

    def __init__(self) -> None:
        self.device, self.threads, self._limit, self._pool = "meta", 1, None, None


@pytest.fixture
def pretend(monkeypatch):
    """`meta` says that it is CUDA; `advance` itself in place of its captured graph."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda tensor: tensor.device.type == "meta"))
    monkeypatch.setattr(capture, "captured", lambda advance, state: advance)


class Watch(TorchDispatchMode):
    """Refuses whatever moves a tensor between host and device; counts operations, and keeps the largest result."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.largest = 0  # bytes

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [value for value in tree_leaves((args, kwargs, result)) if isinstance(value, torch.Tensor)]
        # A number on the host may join an operation as an argument of its kernel; an array may not.
        if len({tensor.device.type for tensor in tensors if tensor.dim()}) > 1:
            raise AssertionError(f"{func} mixes host and device")
        self.operations[str(func)] += 1
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and not tensor._is_view():
                self.largest = max(self.largest, tensor.numel() * tensor.itemsize)
        return result


def split(device):
    images = torch.zeros(40, 20, 28, 28, 1, dtype=torch.uint8, device=device)
    counts = torch.tensor([20, 20], device=device)
    made = Split(
        images, torch.zeros(40, dtype=torch.int64, device=device), counts - 20, counts, ("A", "B"), ("a",) * 40, 20
    )
    for ways in (5, 10):
        made._usable[ways] = torch.arange(2, device=device)  # found once, before a capture
    return made


OPTIONS = {
    "maml": {"approach": "maml"},
    "n_plus_1": {"approach": "n_plus_1"},
    "hybrid": {"approach": "n_plus_1", "generator_outer_loss": "fooling"},
    "wasserstein": {"approach": "n_plus_1", "gan_loss": "wasserstein"},
    "multi_task": {
        "approach": "multi_task",
        "gan_loss": "wasserstein_gp",
        "conditioning": "label",
        "condition_discriminator": True,
    },
    "alphabet": {"approach": "n_plus_1", "fake_source": "alphabet"},
    "augmentation": {"approach": "n_plus_1", "fake_source": "augmentation"},
}


def build(options):
    study, defaults = params.load().current, params.read()["variant_defaults"]
    variant = params.Variant(**{**defaults, "tier": "headline", "label": "a", "colour": "#000000", **options})
    return study, systems.build(variant, study.inner, study.tasks.ways, sizes.of(study), prototype_size=6)


@pytest.mark.parametrize("scope", ["alphabet", "any"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_iteration_never_waits_for_the_device(pretend, options, scope):
    study, system = build(options)
    seeds = torch.zeros(3, dtype=torch.int64, device="meta")
    state = State.fresh(system, seeds, torch.float32)
    shapes = {name: value.shape for name, value in state.items()}
    sampler = Sampler(split("meta"), study.tasks.ways, study.tasks.shots, scope, system.others)
    loop = OuterLoop(study.train, study.tasks.train_queries, 10)
    advance = iteration(system, sampler, seeds, loop, state, MetaWorkers())
    with Watch() as watch:
        advance()
    assert {name: value.shape for name, value in state.items()} == shapes
    assert watch.operations["aten.bmm.default"] > 50, "the convolutions of CUDA are matrix products"


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x.cpu(),
        lambda x: x.tolist(),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x.copy_(torch.zeros(2)),
        lambda x: x[torch.zeros(1, dtype=torch.int64)],
    ],
    ids=["item", "bool", "cpu", "tolist", "nonzero", "mask", "from the host", "index on the host"],
)
def test_the_check_above_can_fail(wait):
    x = torch.zeros(2, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError, AssertionError)), Watch():
        wait(x)


def test_meta_stands_for_cuda(pretend):
    x = torch.zeros(1, device="meta")
    assert kernels._formulation(x) is gathered and kernels.normalisation(x) is None
    assert kernels._formulation(torch.zeros(1)) is not gathered


EVALUATED = {
    "maml": {"approach": "maml"},
    "n_plus_1": {"approach": "n_plus_1"},
    "four fakes": {"approach": "n_plus_1", "fakes_per_real": 4},
    "fcn": {"approach": "n_plus_1", "generator": "fcn", "skip": True, "fakes_per_real": 2},
    "multi_task": {"approach": "multi_task", "told_real": "first_layer", "condition_discriminator": True},
    "penalty": {"approach": "multi_task", "gan_loss": "wasserstein_gp"},
}


@pytest.mark.parametrize("queries", [1, 15])
@pytest.mark.parametrize("options", EVALUATED.values(), ids=EVALUATED)
def test_no_tensor_of_evaluation_passes_the_bound(pretend, monkeypatch, options, queries):
    """And the bound is used: a chunk of a hundred times less would keep a GPU idle."""
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: torch.zeros(tensor.shape, dtype=tensor.dtype))
    study, system = build(options)
    seeds = torch.zeros(5, dtype=torch.int64, device="meta")
    sampler = Sampler(split("meta"), study.tasks.ways, study.tasks.shots, "any", system.others)
    tasks = TaskSet(sampler, seeds, "test", 10_000, queries)
    # One chunk shows what all of them need.
    tasks = TaskSet(sampler, seeds, "test", bounds.tasks_at_a_time(system, tasks), queries)
    weights = system.initial_weights(seeds, torch.float32)
    with Watch() as watch:
        Evaluation(system, tasks, MetaWorkers(), every_step=True)(weights)
    assert bounds.LARGEST / 20 < watch.largest <= bounds.LARGEST
    if system.makes_fakes:
        with Watch() as watch:
            generation.draw(system, weights, tasks, 4, MetaWorkers())
        assert watch.largest <= bounds.LARGEST


@pytest.fixture
def stand_ins(monkeypatch):
    """CUDA's graph and streams, which only say what is done with them: the list of calls."""
    log = []

    class Graph:
        def replay(self):
            log.append("replay")

    class Stream:
        def wait_stream(self, other):
            pass

    class Context:
        def __init__(self, *arguments):
            pass

        def __enter__(self):
            log.append("enter")

        def __exit__(self, *arguments):
            log.append("exit")

    for name, stand_in in {
        "CUDAGraph": Graph,
        "Stream": Stream,
        "stream": Context,
        "graph": Context,
        "current_stream": Stream,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return log


def test_warm_up_leaves_the_state_as_it_was(stand_ins):
    """Warm up, capture, restore, replay."""
    log, state = stand_ins, State({"step": torch.tensor(7)})

    def advance():
        log.append("advance")
        state["step"] += 1

    replay = capture.captured(advance, state)
    assert int(state["step"]) == 7
    replay()
    assert log == ["enter", *["advance"] * capture.WARM_UPS, "exit", "enter", "advance", "exit", "replay"]


def test_what_cannot_be_captured_runs_eagerly(stand_ins, capsys):
    state = State({"step": torch.tensor(7)})

    def advance():
        state["step"] += 1
        if stand_ins[-2:] == ["exit", "enter"]:  # in the capture, after the warm-ups
            raise RuntimeError("CUDA error: operation not permitted\nwhen stream is capturing")

    run = capture.captured(advance, state)
    (line,) = capsys.readouterr().err.splitlines()
    assert "no CUDA graph" in line and "operation not permitted" in line
    assert int(state["step"]) == 7
    stand_ins.clear()
    run()
    assert int(state["step"]) == 8 and not stand_ins


@pytest.mark.parametrize("told", ["out of memory", "a bug"])
def test_only_what_a_graph_cannot_hold_is_forgiven(stand_ins, told):
    """Too little memory is for smaller chunks to mend, and an iteration that fails by itself is a bug."""
    state = State({"step": torch.tensor(7)})

    def advance():
        state["step"] += 1
        if told == "a bug":
            raise RuntimeError(told)
        if stand_ins[-2:] == ["exit", "enter"]:
            raise torch.OutOfMemoryError(told)

    with pytest.raises(RuntimeError, match=told):
        capture.captured(advance, state)
    assert int(state["step"]) == 7
