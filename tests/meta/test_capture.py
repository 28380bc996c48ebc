"""What a CUDA graph asks of the meta-iteration, as far as a machine without CUDA can tell.

Tensors on torch's `meta` device have shapes but no values. So code that waits for a value on
the host, which would break a capture, raises here.
"""

import pytest
import torch

from megan.config import params
from megan.data.episodes import Sampler
from megan.data.packed import Split
from megan.meta import iteration as iterations
from megan.meta import systems
from megan.meta.iteration import OuterLoop, State, iteration
from megan.meta.parallel import Workers
from megan.models import sizes
from megan.ops import gathered, kernels


class MetaWorkers(Workers):
    """A device that is no CPU: all seeds in one chunk, no threads."""

    def __init__(self) -> None:
        self.device, self.threads, self._pool = "meta", 1, None


@pytest.fixture
def pretend(monkeypatch):
    """Use CUDA's formulation, and `advance` itself in place of its captured graph."""
    monkeypatch.setattr(kernels, "_formulation", lambda x: gathered)
    monkeypatch.setattr(kernels, "normalisation", lambda x: None)
    monkeypatch.setattr(iterations, "_captured", lambda advance, state: advance)


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


@pytest.mark.parametrize("scope", ["alphabet", "any"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_iteration_never_waits_for_the_device(pretend, options, scope):
    study = params.load().current
    study = study.model_copy(update={"tasks": study.tasks.model_copy(update={"scope": scope})})
    defaults = params.read()["variant_defaults"]
    system = systems.build(
        params.Variant(**{**defaults, "tier": "headline", "label": "a", "colour": "#000000", **options}),
        study.inner,
        study.tasks.ways,
        sizes.of(study),
    )
    seeds = torch.zeros(3, dtype=torch.int64, device="meta")
    state = State.fresh(system, seeds, torch.float32)
    shapes = {name: value.shape for name, value in state.items()}
    sampler = Sampler(split("meta"), study.tasks.ways, study.tasks.shots, scope, system.others)
    iteration(system, sampler, seeds, OuterLoop(study.train, study.tasks.train_queries, 10), state, MetaWorkers())()
    assert {name: value.shape for name, value in state.items()} == shapes


def test_the_check_above_can_fail():
    with pytest.raises((RuntimeError, NotImplementedError), match="[Mm]eta"):
        torch.zeros(2, device="meta").sum().item()


def test_warm_up_leaves_the_state_as_it_was(monkeypatch):
    """The order of `_captured`, with a graph that only records calls: warm up, capture, restore, replay."""
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
    state = State({"step": torch.tensor(7)})

    def advance():
        log.append("advance")
        state["step"] += 1

    replay = iterations._captured(advance, state)
    assert int(state["step"]) == 7
    replay()
    assert log == ["enter", *["advance"] * iterations.WARM_UPS, "exit", "enter", "advance", "exit", "replay"]
