"""A program that runs stages in forks of one warmed interpreter, each with a fault at a chosen moment.

Each line on stdin is one request in JSON: `folder` to work in, `arguments` of `python -m
megan`, `environment`, and optionally `fault`, and `set`: values of module attributes. Each
line on stdout is one answer: `status` as `os.waitpid` gives it, `events` that happened (if
the stage came to its end), and the `output`.

The libraries are imported beforehand, but this package in each fork. So a trial costs far
less than a new process, and a stage imports what it always imports.

A fault is `{"at": n, "do": ...}`: at the n-th event of the file system (an open, rename,
removal, new folder or listing of a path in the folder), before it happens,
- `kill`: SIGKILL;
- `signal` with `number`: that signal to the process itself;
- `limit` with `bytes`: from here on a file may not grow beyond these. With `fatal` a larger
  write ends the process half done (SIGXFSZ); without, it fails as on a full disk.
Or `{"after": seconds}`: SIGALRM at that time, wherever the stage is; it ends as by SIGKILL.
Or `{"memory": n, "calls": m}`: the first `m` chunks of at least `n` tasks find no memory.
"""

import dataclasses
import importlib
import json
import os
import resource
import signal
import sys
import traceback

import filelock  # noqa: F401
import numpy  # noqa: F401
import pandas  # noqa: F401
import PIL.Image  # noqa: F401
import pydantic  # noqa: F401
import requests  # noqa: F401
import safetensors.torch  # noqa: F401
import scipy.stats  # noqa: F401
import torch
import torchvision  # noqa: F401
import tqdm  # noqa: F401
import yaml  # noqa: F401

EVENTS = {
    "open",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.listdir",
    "os.scandir",
    "os.truncate",
    "os.chmod",
}


class Moments:
    """Counts events of the file system below a folder, and causes the fault at its event."""

    def __init__(self, folder: str, fault: dict) -> None:
        self.folder, self.fault, self.count = folder + os.sep, fault, 0

    def __call__(self, event: str, arguments: tuple) -> None:
        if event not in EVENTS or not arguments or not isinstance(path := arguments[0], (str, os.PathLike)):
            return
        path = os.fspath(path)
        if not isinstance(path, str) or (os.path.isabs(path) and not path.startswith(self.folder)):
            return
        self.count += 1
        if self.count == self.fault.get("at"):
            bring(self.fault)


def bring(fault: dict) -> None:
    if fault["do"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault["do"] == "signal":
        os.kill(os.getpid(), fault["number"])
    elif fault["do"] == "limit":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if fault.get("fatal") else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault["bytes"], resource.RLIM_INFINITY))


def short_of_memory(tasks: int, calls: int) -> None:
    """Make the device refuse chunks of at least `tasks` tasks, the first `calls` times."""
    from megan.meta import parallel

    real, left = parallel.Workers.map, [calls]

    def refusing(workers, work, jobs):
        def one(job):
            if len(job[1]) >= tasks and left[0] > 0:
                left[0] -= 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return work(job)

        return real(workers, one, jobs)

    parallel.Workers.map = refusing


def blank_glyphs() -> None:
    """Blank images in place of drawn glyphs: drawing takes seconds, and no fault strikes in them."""
    from megan.data.sets import glyphs

    def blank(folder, data):
        parts = glyphs.alphabets().values()
        images = {
            name: numpy.zeros((len(characters), 20, 28, 28), numpy.uint8)
            for part in parts
            for name, characters in part.items()
        }
        return images, json.loads((folder / "glyphs.json").read_text())

    characters = dataclasses.replace(glyphs.DATA_SET.characters, read=blank)
    glyphs.DATA_SET = dataclasses.replace(glyphs.DATA_SET, characters=characters)


def stage(request: dict, answer: int, output: int) -> int:
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    fault = request.get("fault") or {}
    for stream in (1, 2):
        os.dup2(output, stream)
    sys.argv = ["megan", *request["arguments"]]
    from megan import __main__

    for name, value in (request.get("set") or {}).items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)
    if request["arguments"] == ["prepare"]:
        blank_glyphs()
    if "memory" in fault:
        short_of_memory(fault["memory"], fault["calls"])
    if "after" in fault:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, fault["after"])
    moments = Moments(os.getcwd(), fault)
    sys.addaudithook(moments)
    try:
        code = __main__.main(request["arguments"])
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(answer, str(moments.count).encode())
    return code


def serve(request: dict) -> dict:
    """Fork, wait, and tell how it ended. Pipes take the output, so that a full disk does not lose it."""
    (events_in, events_out), (output_in, output_out) = os.pipe(), os.pipe()
    if not (pid := os.fork()):
        code = 70
        try:
            os.close(events_in)
            os.close(output_in)
            code = stage(request, events_out, output_out)
        finally:
            os._exit(code)
    os.close(events_out)
    os.close(output_out)
    with os.fdopen(output_in, "rb") as output, os.fdopen(events_in, "rb") as counted:
        told, events = output.read().decode(errors="replace"), counted.read()
    _, status = os.waitpid(pid, 0)
    return {"status": status, "events": int(events) if events else None, "output": told}


if __name__ == "__main__":
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line))), file=answers, flush=True)
