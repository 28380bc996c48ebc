"""A replayed chunk gives what the same chunk gives computed step by step, for weights and tasks that it never saw."""

import importlib.util
from pathlib import Path

import pytest
import torch

from megan.config import params
from megan.data.episodes import Sampler
from megan.meta import gradient, replayed
from megan.meta.iteration import OuterLoop, State, iteration
from megan.meta.parallel import Workers
from megan.meta.replayed import Replayed
from megan.models.sizes import Sizes

_spec = importlib.util.spec_from_file_location("gradients", Path(__file__).with_name("test_gradient.py"))
gradients = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(gradients)

CONTROLS = {
    f"n_plus_1 {source}": gradients.N_PLUS_1 | {"fake_source": source}
    for source in ("augmentation", "alphabet", "noise")
}
NAMES = (
    *("maml", "n_plus_1", "n_plus_1 fcn with skip", "n_plus_1 label", "n_plus_1 prototype", "n_plus_1 unconditioned"),
    *(
        "n_plus_1 outer fakes with the query",
        "n_plus_1 statistics of reals",
        "n_plus_1 vanilla",
        "n_plus_1 wasserstein",
        "n_plus_1 penalty",
        "n_plus_1 hybrid",
    ),
    *("n_plus_1 discrimination outside", "n_plus_1 frozen generator", "multi_task 0 shared", "multi_task 2 shared"),
    *("multi_task wasserstein_gp 2 shared", "multi_task conditional discriminator", "multi_task weighted"),
)
VARIANTS = {name: gradients.VARIANTS[name] for name in NAMES} | CONTROLS
POOLED = Sizes(side=20, channels=3, filters=6, max_pool=True, flat=True)


def outer(system):
    return lambda weights, episodes: gradient.outer_gradient(system, weights, episodes, 2).tensors()


def distance(ours, theirs):
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - value).norm() / value.norm().clamp(min=1e-12)) for name, value in theirs.items())


@pytest.fixture
def recorded(monkeypatch):
    """Fail where something was not recorded."""
    monkeypatch.setattr(replayed.progress, "say", lambda message: pytest.fail(message))


@pytest.mark.parametrize("name", VARIANTS)
def test_gradient_of_other_weights_and_tasks(name, make_system, make_episodes, recorded):
    system = make_system(**VARIANTS[name])
    weights = gradients.initial(system)
    again = Replayed(outer(system), gradient.joined)
    again.prepare(weights, make_episodes(seed=3))
    others = {name: value + 0.01 * torch.randn_like(value) for name, value in weights.items()}
    episodes = make_episodes(seed=4)
    for _ in range(2):  # whatever a run leaves in the arena must not matter to the next
        assert distance(again(others, episodes), outer(system)(others, episodes)) < 1e-9


@pytest.mark.parametrize("kernel", ["auto", "torch"])
@pytest.mark.parametrize("sizes", [None, POOLED])
@pytest.mark.parametrize("approach", ["maml", "n_plus_1"])
def test_gradient_at_other_sizes_and_in_plain_torch(
    approach, sizes, kernel, make_system, make_episodes, recorded, monkeypatch
):
    monkeypatch.setenv("MEGAN_KERNEL", kernel)
    system = make_system(approach=approach, sizes=sizes, steps=2)
    weights, again = gradients.initial(system), Replayed(outer(system), gradient.joined)
    shape = {"size": system.sizes.side, "channels": system.sizes.channels}
    again.prepare(weights, make_episodes(seed=3, **shape))
    episodes = make_episodes(seed=4, **shape)
    assert distance(again(weights, episodes), outer(system)(weights, episodes)) < 1e-9


@pytest.mark.parametrize("threads", [1, 2])
def test_a_resumed_training_gives_the_same_bits(threads, make_system, split, monkeypatch, recorded):
    monkeypatch.setattr("megan.meta.iteration.LONG_TRAINING", 1)
    system, seeds = make_system(approach="n_plus_1", steps=2), torch.tensor([0, 1])
    sampler = Sampler(split, 3, 1, "alphabet")
    train = params.read()["study_defaults"]["train"] | {"meta_batch": 3, "learning_rate": 0.01}
    loop = OuterLoop(params.Train(**train), 1, 4)

    def advanced(state, steps):
        workers = Workers(device="cpu", threads=threads)
        advance = iteration(system, sampler, seeds, loop, state, workers)
        for _ in range(steps):
            advance()
        return state.snapshot()

    whole = advanced(State.fresh(system, seeds, torch.float32), 4)
    resumed = State.fresh(system, seeds, torch.float32)
    resumed.assign(advanced(State.fresh(system, seeds, torch.float32), 2))
    for name, value in advanced(resumed, 2).items():
        assert torch.equal(value, whole[name]), name


def test_float32_and_other_shapes(make_system, make_episodes, recorded):
    system = make_system(approach="n_plus_1")
    again = Replayed(outer(system), gradient.joined)
    for tasks, queries in ((1, 1), (2, 9), (1, 1)):
        episodes = make_episodes(tasks=tasks, queries=queries)
        weights = gradients.initial(system)
        assert distance(again(weights, episodes), outer(system)(weights, episodes)) < 1e-9
    single = {name: value.float() for name, value in weights.items()}
    tensors = [value.float() if value.is_floating_point() else value for value in replayed._tensors({}, episodes)]
    _, episodes = replayed._with_tensors({}, episodes, tensors)
    assert distance(again(single, episodes), outer(system)(single, episodes)) < 1e-3
    assert len(again._own.replays) == 3


def test_other_labels_are_another_record(make_system, make_episodes, recorded):
    from dataclasses import replace

    system, episodes = make_system(), make_episodes()
    weights, again = gradients.initial(system), Replayed(outer(system), gradient.joined)
    again.prepare(weights, episodes)
    turned = replace(episodes, support_labels=episodes.support_labels.flip(0))
    assert distance(again(weights, turned), outer(system)(weights, turned)) < 1e-9


def test_what_cannot_be_recorded_is_computed_and_said_once(make_episodes, monkeypatch):
    said = []
    monkeypatch.setattr(replayed.progress, "say", said.append)

    def depends_on_values(weights, episodes):
        return {"sum": weights["a"].sum() * (2 if float(weights["a"].sum()) > 0 else 3)}

    again, episodes = Replayed(depends_on_values, gradient.joined), make_episodes()
    for value in (1.0, -1.0, 2.0):
        weights = {"a": torch.full((2,), value)}
        assert torch.equal(again(weights, episodes)["sum"], depends_on_values(weights, episodes)["sum"])
    (line,) = said
    assert "computed step by step" in line and "\n" not in line


def test_want_of_memory_while_recording_is_no_reason_to_go_on(make_episodes):
    def too_much(weights, episodes):
        raise MemoryError

    with pytest.raises(MemoryError):
        Replayed(too_much, gradient.joined)({"a": torch.ones(1)}, make_episodes())


def test_only_long_work_on_a_cpu_is_recorded():
    cpu, cuda = Workers(device="cpu", threads=1), Workers(device="cuda", threads=1)
    function = outer(None)
    assert isinstance(replayed.replayed(function, gradient.joined, cpu, True), Replayed)
    assert replayed.replayed(function, gradient.joined, cpu, False) is function
    assert replayed.replayed(function, gradient.joined, cuda, True) is function
