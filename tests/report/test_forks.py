"""Work over several processes: all of it once, the first error, and a process that is ended from outside."""

import os
import signal
import subprocess
import sys
import time

import pytest

from megan.errors import MeganError
from megan.report import forks
from megan.report.inputs import ReportError
from megan.runs.storage import StorageError

JOBS = [f"job{number}" for number in range(7)]


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_every_job_is_done_once(tmp_path, count):
    forks.each(lambda job: (tmp_path / f"{job}.{os.getpid()}").touch(), JOBS, count)
    made = [path.name.split(".") for path in tmp_path.iterdir()]
    assert sorted(job for job, _ in made) == JOBS
    assert len({pid for _, pid in made}) == min(count, len(JOBS))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("error", [ReportError("a table is torn"), StorageError("full"), OSError(28, "No space")])
def test_the_first_error_in_the_order_of_jobs_arrives(count, error):
    def work(job):
        if job == JOBS[1]:
            time.sleep(0.1)  # later than the others
            raise error
        if job in JOBS[2:5]:
            raise MeganError("another")

    with pytest.raises(type(error)) as caught:
        forks.each(work, JOBS, count)
    assert caught.value.args == error.args


def test_a_bug_tells_its_place():
    def work(job):
        if job == JOBS[1]:
            raise ZeroDivisionError("a bug")

    with pytest.raises(RuntimeError, match="(?s)test_forks.*ZeroDivisionError: a bug"):
        forks.each(work, JOBS, 2)


def test_a_process_that_is_killed_is_told_of():
    parent = os.getpid()

    def work(job):
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ReportError, match="killed from outside.*lower MEGAN_THREADS"):
        forks.each(work, JOBS, 3)


def test_a_process_that_cannot_start_is_told_of(monkeypatch, tmp_path):
    starts, start = [], forks.ForkProcess.start

    def refuse(process):
        starts.append(process)
        if len(starts) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        start(process)

    monkeypatch.setattr(forks.ForkProcess, "start", refuse)
    with pytest.raises(ReportError, match="cannot start 3 processes.*lower MEGAN_THREADS"):
        forks.each(lambda job: time.sleep(60), JOBS, 3)
    assert not starts[0].is_alive()


def test_no_fork_outlives_this_process():
    code = """if True:
        import os, sys, time
        from megan.report import forks
        def work(job):
            os.write(1, f"{os.getpid()}\\n".encode())
            time.sleep(60)
        forks.each(work, ["a", "b"], 2)"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    (fork,) = set(pids) - {parent.pid}
    deadline = time.monotonic() + 30  # of the 60 s that it would sleep
    while _lives(fork):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
