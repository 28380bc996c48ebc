"""A replayed chunk gives what the same chunk gives computed step by step, for weights and tasks that it never saw."""

import importlib.util
from pathlib import Path

import pytest
import torch

from megan.meta import gradient, replayed
from megan.meta.parallel import Workers
from megan.meta.replayed import Replayed

_spec = importlib.util.spec_from_file_location("gradients", Path(__file__).with_name("test_gradient.py"))
gradients = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(gradients)

CONTROLS = {
    f"n_plus_1 {source}": gradients.N_PLUS_1 | {"fake_source": source}
    for source in ("augmentation", "alphabet", "noise")
}
VARIANTS = gradients.VARIANTS | CONTROLS


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
    again = Replayed(outer(system))
    again.prepare(weights, make_episodes(seed=3))
    others = {name: value + 0.01 * torch.randn_like(value) for name, value in weights.items()}
    episodes = make_episodes(seed=4)
    for _ in range(2):  # whatever a run leaves in the arena must not matter to the next
        assert distance(again(others, episodes), outer(system)(others, episodes)) < 1e-9


def test_float32_and_other_shapes(make_system, make_episodes, recorded):
    system = make_system(approach="n_plus_1")
    again = Replayed(outer(system))
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
    weights, again = gradients.initial(system), Replayed(outer(system))
    again.prepare(weights, episodes)
    turned = replace(episodes, support_labels=episodes.support_labels.flip(0))
    assert distance(again(weights, turned), outer(system)(weights, turned)) < 1e-9


def test_what_cannot_be_recorded_is_computed_and_said_once(make_episodes, monkeypatch):
    said = []
    monkeypatch.setattr(replayed.progress, "say", said.append)

    def depends_on_values(weights, episodes):
        return {"sum": weights["a"].sum() * (2 if float(weights["a"].sum()) > 0 else 3)}

    again, episodes = Replayed(depends_on_values), make_episodes()
    for value in (1.0, -1.0, 2.0):
        weights = {"a": torch.full((2,), value)}
        assert torch.equal(again(weights, episodes)["sum"], depends_on_values(weights, episodes)["sum"])
    (line,) = said
    assert "computed step by step" in line and "\n" not in line


def test_want_of_memory_while_recording_is_no_reason_to_go_on(make_episodes):
    def too_much(weights, episodes):
        raise MemoryError

    with pytest.raises(MemoryError):
        Replayed(too_much)({"a": torch.ones(1)}, make_episodes())


def test_only_long_work_on_a_cpu_is_recorded():
    cpu, cuda = Workers(device="cpu", threads=1), Workers(device="cuda", threads=1)
    function = outer(None)
    assert isinstance(replayed.replayed(function, cpu, True), Replayed)
    assert replayed.replayed(function, cpu, False) is replayed.replayed(function, cuda, True) is function
