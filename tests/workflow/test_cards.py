"""Each running job has a GPU of its own, and more jobs than GPUs queue. The GPUs are made up."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.workflow.conftest import wait_for

CARDS = [sys.executable, str(Path(__file__).parents[2] / "workflow/cards.py")]
JOB = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], time.time()); time.sleep(0.4); print(time.time())"


@pytest.fixture
def environment(tmp_path):
    kept = {name: value for name, value in os.environ.items() if name not in ("MEGAN_DEVICE", "CUDA_VISIBLE_DEVICES")}
    return kept | {"TMPDIR": str(tmp_path)}


def start(environment: dict[str, str], code: str = JOB, **changed: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*CARDS, sys.executable, "-c", code],
        env=environment | changed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_five_jobs_on_two_cards(environment):
    started = [start(environment, CUDA_VISIBLE_DEVICES="GPU-a, GPU-b") for _ in range(5)]
    ends = [job.communicate(timeout=60) for job in started]
    turns: dict[str, list[tuple[float, float]]] = {}
    for out, _ in ends:
        card, begun, ended = out.split()
        turns.setdefault(card, []).append((float(begun), float(ended)))
    assert set(turns) == {"GPU-a", "GPU-b"}
    for card, times in turns.items():
        times.sort()
        assert all(before[1] <= after[0] for before, after in zip(times, times[1:], strict=False)), card
    told = [err for _, err in ends]
    assert sum("all 2 GPUs are at work; waiting for one" in err for err in told) == 3
    assert all("on GPU GPU-" in err for err in told)


def test_the_card_of_a_killed_job_is_free(environment):
    first = start(environment, "import time; time.sleep(60)", CUDA_VISIBLE_DEVICES="0")
    wait_for(lambda: "on GPU 0" in first.stderr.readline(), "the first job", seconds=20)
    second = start(environment, CUDA_VISIBLE_DEVICES="0")
    time.sleep(0.3)
    assert second.poll() is None
    first.kill()
    first.communicate()
    assert second.communicate(timeout=20)[0].startswith("0 ")


def test_a_card_that_is_named_twice_and_what_is_no_card(environment):
    """Each GPU counts once. CUDA sees those before the first that does not exist."""
    for visible, of in (("0,0", "of 0"), ("0,-1,1", "of 0"), ("1, GPU-a", "of 1, GPU-a")):
        _, err = start(environment, "pass", CUDA_VISIBLE_DEVICES=visible).communicate(timeout=20)
        assert err.strip().endswith(of), err
    told = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
    for visible in ("-1", "NoDevFiles", " , "):
        assert start(environment, told, CUDA_VISIBLE_DEVICES=visible).communicate() == (f"{visible}\n", "")


def test_no_card_and_a_chosen_one(environment, tmp_path):
    """Where there is none, or the user has named a device, a job runs at once."""
    told = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
    assert start(environment, told, CUDA_VISIBLE_DEVICES="").communicate()[0] == "\n"
    assert start(environment, told, CUDA_VISIBLE_DEVICES="0,1", MEGAN_DEVICE="cuda:1").communicate()[0] == "0,1\n"
    assert start(environment, told, CUDA_VISIBLE_DEVICES="0,1", MEGAN_DEVICE="cpu").communicate()[0] == "0,1\n"


def test_the_machines_cards(environment, tmp_path):
    """Without `CUDA_VISIBLE_DEVICES` the driver's program lists them."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho GPU-1; echo GPU-2\n")
    program.chmod(0o755)
    out, err = start(environment, PATH=f"{tmp_path}:{environment['PATH']}").communicate()
    assert out.startswith("GPU-1 ") and "of GPU-1, GPU-2" in err


def test_an_exit_code_is_passed_on(environment):
    job = start(environment, "raise SystemExit(7)", CUDA_VISIBLE_DEVICES="0")
    job.communicate(timeout=20)
    assert job.returncode == 7
