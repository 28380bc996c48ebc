"""Forks that share jobs: they give the same results in the same order, and see changes of shared memory.

However they end, nothing is lost and nothing is left over.
"""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch

from megan.meta import parallel, processes
from megan.meta.parallel import OutOfMemoryError, Workers
from megan.meta.processes import ProcessEndedError, Processes

pytestmark = pytest.mark.skipif(
    not processes.supported(), reason="work is forked on Linux without a GPU only; elsewhere threads share it"
)

HERE = os.getpid()


def workers(threads: int) -> Workers:
    return Workers(device="cpu", threads=threads)


@pytest.mark.parametrize("jobs", [2, 3, 7])
def test_results_in_the_order_of_the_jobs(jobs):
    def work(job):
        return {
            "square": torch.full((2,), job**2),
            "process": torch.tensor(os.getpid()),
            "turned": torch.arange(6).view(2, 3).t(),
        }

    for _ in range(2):
        results = (team := workers(3)).map(work, range(jobs))
        assert [int(result["square"][1]) for result in results] == [job**2 for job in range(jobs)]
        assert len({int(result["process"]) for result in results}) == min(3, jobs)
        assert all(torch.equal(result["turned"], torch.tensor([[0, 3], [1, 4], [2, 5]])) for result in results)
        assert team.map(work, range(jobs))[-1]["process"] == results[-1]["process"], "forked anew for the same work"


def test_shared_state_is_seen_and_other_is_not():
    state, other = {"value": torch.zeros(3), "step": torch.tensor(0)}, torch.zeros(1)
    team = workers(2)
    team.share(state)

    def work(job):
        return {"value": state["value"] + state["step"], "other": other.clone()}

    team.map(work, range(2))
    state["value"].fill_(5)
    state["step"].add_(2)
    other.fill_(1)
    here, there = team.map(work, range(2))
    assert torch.equal(here["value"], there["value"]) and there["value"].tolist() == [7, 7, 7]
    assert (float(here["other"]), float(there["other"])) == (1, 0)


def test_other_work_or_jobs_are_forked_anew():
    team = workers(2)
    for value in range(3):

        def work(job, value=value):
            return {"value": torch.tensor([value, job])}

        for jobs in (range(2), range(4)):
            assert [result["value"].tolist() for result in team.map(work, jobs)] == [[value, job] for job in jobs]
    assert len(psutil.Process().children()) >= 1
    team._processes.close()


def test_an_error_in_a_fork_is_told_and_the_next_map_works():
    broken = [True]

    def work(job):
        if job == 1 and broken[0]:
            raise ValueError("job one is broken")
        return {"job": torch.tensor(job)}

    team = workers(2)
    with pytest.raises(RuntimeError, match="ValueError: job one is broken"):
        team.map(work, range(2))
    broken[0] = False
    assert [int(result["job"]) for result in team.map(work, range(2))] == [0, 1]


@pytest.mark.parametrize("where", ["here", "there"])
def test_memory_that_one_process_lacks_makes_all_chunks_smaller(where, capsys):
    def work(chunk):
        _, tasks = chunk
        if len(tasks) > 2 and (os.getpid() == HERE) == (where == "here"):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
        return {"tasks": torch.arange(tasks.start, tasks.stop)}

    team = workers(2)
    team._limit = 4
    (chunks,) = team.map_chunks(work, [slice(0, 1)], 8, most=4)
    assert [chunk["tasks"].tolist() for chunk in chunks] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert "out of memory on cpu with 4 tasks at a time; continuing with 2" in capsys.readouterr().err


def test_one_task_too_many_in_a_fork():
    def work(chunk):
        raise MemoryError

    with pytest.raises(OutOfMemoryError, match="lower MEGAN_THREADS"):
        workers(2).map_chunks(work, [slice(0, 1)], 8)


def test_a_fork_ended_from_outside_is_told_and_the_next_map_works():
    def work(job):
        return {"process": torch.tensor(os.getpid())}

    team = workers(2)
    _, there = team.map(work, range(2))
    os.kill(int(there["process"]), signal.SIGKILL)
    with pytest.raises(ProcessEndedError, match="MEGAN_THREADS or MEGAN_CHUNK"):
        team.map(work, range(2))
    _, again = team.map(work, range(2))
    assert int(again["process"]) != int(there["process"])


def test_close_leaves_no_process():
    team = Processes(lambda job: {"job": torch.tensor(job)}, range(4), 4, parallel.is_out_of_memory)
    pids = list(team._pids)
    team.run()
    team.close()
    assert len(pids) == 3 and not any(psutil.pid_exists(pid) for pid in pids)


PROGRAM = """
import os, signal, sys, time, torch
from megan.meta.parallel import Workers
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
signal.signal(signal.SIGINT, lambda *_: asked.append(1))
def work(job):
    time.sleep(0.02)
    return {"process": torch.tensor(os.getpid())}
team = Workers(device="cpu", threads=3)
print(*[int(result["process"]) for result in team.map(work, range(3))], flush=True)
while not asked:
    team.map(work, range(3))
team.map(work, range(3))  # a step that was begun is finished
print("finished", flush=True)
"""


@pytest.fixture
def program():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 3 and pids[0] == process.pid
    yield process, pids[1:]
    process.kill()
    process.wait()
    process.stdout.close()


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def wait_until_gone(pids: list[int]) -> None:
    end = time.monotonic() + 20
    while not gone(pids) and time.monotonic() < end:
        time.sleep(0.02)
    assert gone(pids)


def test_forks_end_with_a_process_that_is_killed(program):
    process, forks = program
    assert not gone(forks)
    process.kill()
    wait_until_gone(forks)


def test_forks_end_in_the_middle_of_a_long_job():
    text = PROGRAM.replace("time.sleep(0.02)", "time.sleep(0.02 if job < 3 else 60)").replace(
        "while not asked:", "team.map(work, range(3, 6))\nwhile not asked:"
    )
    process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, start_new_session=True)
    process.stdout.readline()
    end = time.monotonic() + 20
    while len(forks := [child.pid for child in psutil.Process(process.pid).children()]) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.5)
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(forks) == 2
    wait_until_gone(forks)


def test_more_processes_than_the_machine_starts(monkeypatch):
    def refused():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    with pytest.raises(ProcessEndedError, match="cannot start 3 processes .* lower MEGAN_THREADS"):
        workers(3).map(lambda job: {}, range(9))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_ends_it_after_the_step(program, number):
    """As Ctrl-C and a cluster send it: the forks go on until the parent has finished its step."""
    process, forks = program
    os.killpg(process.pid, number)
    assert process.wait(20) == 0 and process.stdout.read() == "finished\n"
    wait_until_gone(forks)
