"""The parts of `python -m benchmarks.gpu`, at tiny size on the CPU: what can be tried without a GPU."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import correctness, layers, setting
from megan.meta import capture
from megan.ops import precision

TINY = setting.Size(
    tasks=2, steps=2, queries=(1,), seeds=(1, 2), evaluated=3, seconds=0.01, contenders=("megan", "loop")
)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("MEGAN_THREADS", "1")
    monkeypatch.setenv("MEGAN_CHUNK", "2")
    monkeypatch.setattr(correctness, "ITERATIONS", 1)
    yield
    precision.use("float32")


SLOW = ("profile", "peers")  # they start processes, or time for seconds


@pytest.mark.parametrize("part", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in gpu.PARTS])
def test_a_part_gives_a_table(part, capsys):
    report, right = gpu.run("cpu", TINY, [part])
    assert right and report.startswith(f"**{part}**\n\n| ") and f"{part}: failed" not in capsys.readouterr().out
    assert "nan" not in report


def test_the_order_is_that_of_worth():
    assert list(gpu.PARTS) == ["correctness", "speed", "profile", "formulations", "evaluation", "peers"]


def test_wrong_numbers_end_the_run(monkeypatch, capsys):
    moments = correctness.first_moments

    def off(kind, size, device, queries):
        found = moments(kind, size, device, queries)
        if kind == "hybrid" and capture.captured.__name__ == "<lambda>":  # the eager run alone
            found["cls.head"] += 1e-6 * found["cls.head"].norm()
        return found

    monkeypatch.setattr(correctness, "first_moments", off)
    monkeypatch.setattr(correctness, "KINDS", ["hybrid"])
    report, right = gpu.run("cpu", TINY, ["correctness", "formulations"])
    assert not right and "hybrid" in report and "formulations" not in report
    assert "wrong numbers" in capsys.readouterr().out


def test_a_part_that_fails_or_is_late_costs_no_other(monkeypatch, capsys):
    def fails(device, size):
        raise torch.OutOfMemoryError("CUDA out of memory\nand more")

    monkeypatch.setitem(gpu.PARTS, "speed", fails)
    report, right = gpu.run("cpu", TINY, ["speed", "formulations"])
    assert right and "formulations" in report and "speed: failed: CUDA out of memory" in capsys.readouterr().out
    gpu.run("cpu", TINY, ["formulations"], minutes=-1)
    assert "left out" in capsys.readouterr().out


def test_formulations_of_a_layer_agree():
    """Those that the engine does not use, too: a wrong one may be the fastest."""
    for side, channels, outputs, stride in layers.LAYERS:
        source = torch.Generator().manual_seed(0)
        x = torch.randn(2, 3, side, side, channels, generator=source, dtype=torch.float64)
        w = torch.randn(2, 3, 3, channels, outputs, generator=source, dtype=torch.float64)
        dz = torch.randn(layers.gathered.conv(x, w, stride).shape, generator=source, dtype=torch.float64)
        for name, module in layers.FORMULATIONS.items():
            for primitive, arguments in (
                ("conv", (x, w, stride)),
                ("conv_data_grad", (dz, w, side, side, stride)),
                ("conv_weight_grad", (x, dz, stride)),
            ):
                wanted = getattr(layers.gathered, primitive)(*arguments)
                assert torch.allclose(getattr(module, primitive)(*arguments), wanted, rtol=0, atol=1e-10), name


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line():
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert answer.returncode == 1 and not answer.stdout
    assert answer.stderr.splitlines() == ["benchmarks.gpu needs a CUDA device, and torch finds none here"]
