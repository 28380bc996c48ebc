"""Train and test on a machine that has only Python and torch, in pieces of a settable length.

    python workflow/away.py data OUT [STUDY[:VARIANT,...] ...]      where the data are prepared
    python workflow/away.py run [STUDY[:VARIANT,...] ...] --take IN --minutes 9 --pack OUT
    python -m megan import OUT                                      back in the repository

Neither git, dvc, snakemake nor a network is needed for `run`. Each call goes on from the last
checkpoints; see docs/record.md.
"""

import argparse
import contextlib
import importlib.util
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

NEEDED = ("torch", "numpy", "pandas", "safetensors", "yaml", "pydantic", "tqdm", "filelock")
ENCODING = "torchvision"  # only for the encoders, and for what conditions on prototypes
GRACE = 40  # seconds for a stage to save its state once it is asked to
TOO_LATE = 0.05  # of a piece left: nothing more is begun
ANSWER = 0.05  # seconds between looks at a running stage


def missing(packages: tuple[str, ...]) -> list[str]:
    return [name for name in packages if importlib.util.find_spec(name) is None]


if absent := missing(NEEDED):
    sys.exit(f"away: not installed here: {', '.join(absent)}; install them, nothing was begun")

import away_carry  # noqa: E402 - beside this file
import away_plan  # noqa: E402
from away_plan import Job, Plan  # noqa: E402

from megan import paths, settings, storage  # noqa: E402
from megan.errors import MeganError  # noqa: E402
from megan.records import bundle, outcome  # noqa: E402


@dataclass
class Piece:
    """One call: what it ran, for how long, and how busy the device was."""

    minutes: float
    started: float = field(default_factory=time.monotonic)
    stages: dict[str, float] = field(default_factory=dict)  # seconds
    failed: dict[Job, str] = field(default_factory=dict)
    stopped: bool = False

    @property
    def left(self) -> float:
        return 0.0 if self.stopped else self.minutes * 60 - (time.monotonic() - self.started)

    def stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped = True


def run(plan: Plan, piece: Piece) -> None:
    """Work through the plan until it is done or the time is up."""
    for package in ("torch", "pandas", "safetensors.torch", "filelock", "tqdm"):
        importlib.import_module(package)  # once for all stages, which are forked from this process
    with contextlib.suppress(Exception):  # one that does not fit its torch fails the encoder, and nothing else
        importlib.import_module(ENCODING)
    for job in plan.jobs:
        if job in plan.done or job in piece.failed:
            continue
        expected = plan.seconds_left(job) if job.stage != "train" else None
        # Of the stages only training is worth a beginning that the end of the piece cuts off.
        if piece.left < piece.minutes * 60 * TOO_LATE or (expected and piece.stages and expected > piece.left):
            continue
        alone, began = not piece.stages, time.monotonic()
        code = _run(plan, job, piece)
        piece.stages[str(job)] = time.monotonic() - began
        if plan.look(job):
            _note_commit(plan, job)
        elif code == 0:
            piece.failed[job] = plan.stale[job]
        elif piece.left > 0:
            piece.failed[job] = _last_line(_log(plan, job)) or f"exit code {code}"
        elif alone and job.stage == "test":
            piece.failed[job] = f"did not fit into {piece.minutes:g} minutes, and cannot go on from a part; give it more"


def _run(plan: Plan, job: Job, piece: Piece) -> int:
    """One stage in a process of its own, asked to stop when the time is up. Returns its exit code."""
    process = multiprocessing.get_context("fork").Process(target=_stage, args=(plan.work / job.study, job, _log(plan, job)))
    process.start()
    asked = None
    while process.is_alive():
        process.join(ANSWER)
        if asked is None and piece.left <= 0:
            asked = time.monotonic()
            process.terminate()
        elif asked and time.monotonic() - asked > GRACE:
            process.kill()  # its last checkpoint stands
    return process.exitcode or 0


def _stage(folder: Path, job: Job, log: Path) -> None:
    """In the child: exactly what `python -m megan STAGE NAME` does there."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    # A record names the modules that its stage imported: this process's own must not be among them.
    for name in [name for name in sys.modules if name.split(".")[0] == "megan"]:
        del sys.modules[name]
    from megan.__main__ import main

    try:
        sys.exit(main([part for part in (job.stage, job.variant) if part]))
    except ModuleNotFoundError as error:
        print(f"{job}: {error.name} is not installed here", file=sys.stderr)
        sys.exit(1)


def _log(plan: Plan, job: Job) -> Path:
    return plan.work / job.study / "logs" / f"{job.address}.log"


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _note_commit(plan: Plan, job: Job) -> None:
    """Provenance cannot ask git here; the commit that came with the data counts if the code is still its code."""
    origin = away_carry.read(plan.work / "origin.json", {})
    path = plan.work / job.study / outcome.provenance(job.study, job.address)
    told = away_carry.read(path, {})
    if told.get("commit") == "unknown" and origin.get("sources") == outcome.sources():
        storage.write_json(path, {**told, "commit": origin["commit"]})


@contextlib.contextmanager
def measured(work: Path, piece: Piece) -> Iterator[None]:
    """Add the piece to `pieces.json`, with the busy share of the GPU by `nvidia-smi`, or else of the cores."""
    watch, seen = None, work / "gpu.log"
    work.mkdir(parents=True, exist_ok=True)
    device = os.environ.get("MEGAN_DEVICE") or "auto"
    if shutil.which("nvidia-smi") and device != "cpu":
        index = device.partition(":")[2] or "0"
        with open(seen, "w", encoding="utf-8") as file:
            watch = subprocess.Popen(
                ["nvidia-smi", "-i", index, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-l", "1"],
                stdout=file, stderr=subprocess.DEVNULL,
            )  # fmt: skip
    before, started = _core_seconds(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        yield
    finally:
        wall, busy = time.monotonic() - piece.started, None
        if watch:
            watch.terminate()
            watch.wait()
            samples = [float(line) for line in seen.read_text().split() if line.isdecimal()]
            busy = sum(samples) / len(samples) / 100 if samples else None
        told = {
            "started": started,
            "wall_seconds": wall,
            "stages": piece.stages,
            "share_in_stages": sum(piece.stages.values()) / wall,
            "share_gpu_busy": busy,  # of the samples' time, some kernel was running
            "share_cores_busy": (_core_seconds() - before) / wall / settings.threads(),
            "failed": {str(job): reason for job, reason in piece.failed.items()},
        }
        storage.write_json(work / "pieces.json", [*away_carry.read(work / "pieces.json", []), told])


def _core_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="away.py", description="A study on a machine that has only Python and torch; see docs/record.md.")
    commands = parser.add_subparsers(dest="command", required=True)
    data, running = (commands.add_parser(name) for name in ("data", "run"))
    data.add_argument("out", type=Path, metavar="OUT", help="folder for the archives")
    for command in (data, running):
        command.add_argument("selections", nargs="*", metavar="STUDY[:VARIANT,...]", help=f"in the order of work; otherwise {' '.join(away_plan.ANCHOR_FIRST)}")
        command.add_argument("--limit-mib", type=float, default=16, help="size of one archive (16)")
        command.add_argument("--work", type=Path, default=ROOT / paths.RESUME / "away", help="folder that holds everything here (.resume/away)")
    running.add_argument("--minutes", type=float, default=9, help="stop computing after that many; 0 only shows and packs (9)")
    running.add_argument("--take", type=Path, nargs="+", default=[], metavar="IN", help="archives, or folders of them, to begin with")
    running.add_argument("--pack", type=Path, metavar="OUT", help="folder for the archives of what is finished, and of what is needed to go on")
    running.add_argument("--most", type=int, metavar="COUNT", help="pack no more archives than that in one call")
    running.add_argument("--again", action="store_true", help="pack what earlier calls have packed too")
    return parser


def main(arguments: list[str] | None = None) -> int:
    chosen = _arguments().parse_args(arguments)
    selections, limit = chosen.selections or away_plan.ANCHOR_FIRST, int(chosen.limit_mib * bundle.MIB)
    folder = chosen.work.absolute()
    try:
        if chosen.command == "data":
            out = chosen.out.absolute()
            with contextlib.chdir(ROOT):
                for path in away_carry.pack_data(away_plan.make(ROOT, folder, selections), out, limit):
                    print(path)
            return 0
        piece = Piece(chosen.minutes)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, piece.stop)
        if chosen.take:
            away_carry.take(folder, chosen.take)
        plan = away_plan.make(ROOT, folder, selections)
        if missing((ENCODING,)):
            piece.failed = {job: f"{ENCODING} is not installed here" for job in plan.jobs if job not in plan.done and plan.encodes(job)}
        if chosen.minutes and any(job not in plan.done and job not in piece.failed for job in plan.jobs):
            with measured(folder, piece):
                run(plan, piece)
        print(plan.table(piece.failed))
        for job, reason in piece.failed.items():
            print(f"{job} failed: {reason}" + (f" (see {log})" if (log := _log(plan, job)).exists() else ""))
        if chosen.pack:
            for path in away_carry.pack(plan, chosen.pack, limit, chosen.most, chosen.again):
                print(path)
    except MeganError as error:
        print(f"away: {error}", file=sys.stderr)
        return 1
    return 1 if piece.failed else 0


if __name__ == "__main__":
    sys.exit(main())
