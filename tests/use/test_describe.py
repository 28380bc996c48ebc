"""`python -m megan describe`: what it prints follows from parameters and from what it measured. No time is tested."""

import dataclasses
import shutil
import time

import pytest
import tiny
import torch

from megan import __main__ as command_line
from megan.meta import setup
from megan.use import describe
from megan.use.describe import MIB, Measured

FOUND = Measured("cpu", 2, iteration=0.5, task=0.01, tasks=8, memory=300 * MIB, device_memory=0)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Parameters and nothing else: no data and no results."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("DEVICE", "cpu"), ("THREADS", "1")):
        monkeypatch.setenv(f"MEGAN_{name}", value)
    found = tiny.settle()
    shutil.rmtree("data")
    return found


def test_every_option_is_told(study):
    text = "\n".join(describe.resolved(study, "n_plus_1"))
    assert "n_plus_1 in study quick: N+1, 3:1, fakes in last 2 steps" in text
    for name, value in study.variant("n_plus_1").options.items():
        shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
        assert f"\n  {name}: {shown}\n" in text
    assert "\n  ways: 4\n" in text and "\n  meta_steps: 2\n" in text


@pytest.mark.parametrize("variant", ["maml", "n_plus_1", "multi_task_2", "n_plus_1_prototype"])
def test_every_weight_is_counted(study, variant):
    weights = setup.system(study, variant).initial_weights(torch.tensor([0]), torch.float32)
    counts = describe.counts(study, variant)
    assert sum(counts.values()) == sum(weight.numel() for weight in weights.values())
    assert set(counts) == {name.split(".")[0] for name in weights} <= set(describe.GROUPS)
    assert f"together: {sum(counts.values()):,}" in "\n".join(describe.weights(study, variant))


def test_time_follows_from_what_was_measured(study):
    tiers = {"survey": study.current.tiers.survey.model_copy(update={"meta_steps": 1000, "test_tasks": 500})}
    long = study.current.model_copy(update={"tiers": study.current.tiers.model_copy(update=tiers)})
    study = study.model_copy(update={"studies": {"quick": long}})
    text = "\n".join(describe.as_text(study, "maml_short", FOUND))
    # 1000 iterations of 0.5 s; 41 validations on 2 tasks of two seeds of 0.01 s; 500 tasks of two seeds
    assert "stage train, about: 8 min (1,000 meta-iterations and 41 validations on 2 tasks, 2 seeds)" in text
    assert "stage test, about: 10 s (500 tasks for each seed)" in text
    assert "a meta-iteration of 4 tasks: 0.5 s, 8 tasks/s" in text
    assert "memory in meta-training: 300 MiB\n" in text and "2 processes" in text and "estimate" in text
    on_gpu = dataclasses.replace(FOUND, device="cuda", processes=1, device_memory=2048 * MIB)
    assert "300 MiB, and 2,048 MiB on the device" in "\n".join(describe.as_text(study, "maml_short", on_gpu))


@pytest.mark.parametrize(("seconds", "told"), [(0.123, "0.12 s"), (99, "99 s"), (99.6, "2 min"), (7200, "2.0 h")])
def test_spans(seconds, told):
    assert describe.span(seconds) == told


@pytest.mark.parametrize(("name", "variant"), [("own", "n_plus_1_prototype"), ("quick", "control_alphabet")])
def test_it_measures_without_data(study, name, variant, capsys):
    tiny.settle(name)
    shutil.rmtree("data")
    assert command_line.main(["describe", variant]) == 0
    told = capsys.readouterr().out
    assert "on this machine (cpu, 1 process):" in told and "Measured just now on 3 meta-iterations and " in told
    assert f"study {name}" in told


def test_memory_is_that_of_the_moment_when_it_is_most():
    def work():
        block = torch.ones(256 * MIB // 4)
        time.sleep(1)  # longer than a look at the memory takes on a busy machine
        return float(block[0])

    before = describe._held()
    assert describe._peak(work) - before > 128 * MIB


def test_unknown_variant(study, capsys):
    assert command_line.main(["describe", "mamal"]) == 1
    assert "did you mean 'maml'?" in capsys.readouterr().err
