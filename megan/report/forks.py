"""Runs jobs in several processes. They are forks of this process, so they need not import or read anything again."""

import ctypes
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess

from megan.errors import MeganError
from megan.report.inputs import ReportError

PR_SET_PDEATHSIG = 1  # of Linux

Work = Callable[[str], None]
Failure = tuple[int, Exception] | None  # which job failed, and how


def each(work: Work, jobs: Sequence[str], count: int) -> None:
    """Call `work` on every job, in up to `count` processes. This process is one of them.

    **Raises** the error of the first failed job, in the order of `jobs`; `ReportError` if a process cannot
    start or was killed from outside.
    """
    count = max(1, min(count, len(jobs))) if sys.platform == "linux" else 1
    forks: list[tuple[ForkProcess, Connection]] = []
    try:
        for number in range(1, count):
            forks.append(_forked(work, jobs, number, count))
        failures = [_share(work, jobs, 0, count)]
        failures += [connection.recv() for _, connection in forks]
    except EOFError:
        raise ReportError(
            "a process that draws figures was killed from outside, most likely because memory ran out;"
            " lower MEGAN_THREADS and run the same command again"
        ) from None
    finally:
        for process, connection in forks:
            connection.close()
            process.kill()  # it has nothing to save
            process.join()
    failed = [failure for failure in failures if failure]
    if failed:
        raise min(failed, key=lambda failure: failure[0])[1]


def _share(work: Work, jobs: Sequence[str], number: int, count: int) -> Failure:
    """Do every `count`-th job, and stop at the first that fails."""
    for index in range(number, len(jobs), count):
        try:
            work(jobs[index])
        except Exception as error:
            return index, error
    return None


def _forked(work: Work, jobs: Sequence[str], number: int, count: int) -> tuple[ForkProcess, Connection]:
    context, parent = get_context("fork"), os.getpid()
    receiver, sender = context.Pipe(duplex=False)

    def serve() -> None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # end when the parent ends, in any way
        if os.getppid() != parent:
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it
        failure = _share(work, jobs, number, count)
        if failure and not isinstance(failure[1], MeganError | OSError | MemoryError):
            # Not every error can be sent, and sending an error loses its traceback.
            failure = failure[0], RuntimeError("".join(traceback.format_exception(failure[1])))
        sender.send(failure)

    process = context.Process(target=serve, daemon=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads; those of numpy are idle
            process.start()
    except OSError as error:
        receiver.close()
        raise ReportError(
            f"cannot start {count} processes to draw figures ({error.strerror}); lower MEGAN_THREADS"
        ) from None
    finally:
        sender.close()  # the fork holds the other copy, so the pipe ends with it
    return process, receiver
