"""Speed and memory of contenders, interleaved, after a check that all compute the same.

check    compares the float64 meta-gradient of each with that of the autograd loop
speed    rounds in which each contender has one turn, alone; the median over rounds
memory   the peak of fresh processes, less that of as many interpreters with torch imported
"""

import math
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks import problems
from benchmarks.contenders import CONTENDERS
from benchmarks.problems import Kind
from benchmarks.team import Failed, Mode, Team

REFERENCE = "loop"
CHECKED_TASKS = 2  # at least; one a process
TOLERANCE = 1e-8  # relative, in float64
TURN = 0.4  # seconds, at least, of one turn of one contender


@dataclass
class Entry:
    """One contender on one problem in one mode, and what was found."""

    name: str
    kind: Kind
    mode: Mode
    problem: str = ""  # why there is no figure
    error: float = math.nan  # of its gradient, relative
    rates: list[float] = field(default_factory=list)  # tasks a second, a round each
    memory: float = math.nan  # MiB over the bare interpreters'
    processes: int = 0  # those that the memory is of

    @property
    def ours(self) -> bool:
        return CONTENDERS[self.name].ours

    @property
    def rate(self) -> float:
        return statistics.median(self.rates) if self.rates else math.nan


def entries(names: list[str], kinds: list[Kind], modes: list[Mode]) -> list[Entry]:
    return [
        Entry(name, kind, mode)
        for kind in kinds
        for name in names
        if kind.variant in CONTENDERS[name].modules
        for mode in modes
    ]


class Measurement:
    """`say` is called with progress messages. The methods fill `found`, in the order check, speed, memory."""

    def __init__(
        self, found: list[Entry], tasks: int, device: str, say: Callable[[str], None], verbose: bool = False
    ) -> None:
        self.found, self.tasks, self.device, self.say, self.verbose = found, tasks, device, say, verbose
        self._folder = tempfile.TemporaryDirectory(prefix="megan-benchmark-")
        self.folder = Path(self._folder.name)
        self.checked = max(CHECKED_TASKS, *(entry.mode.processes for entry in found))
        # All at once: each interpreter takes seconds to import torch, and they can do so together.
        self.teams = {
            key: Team(*key, device, verbose) for key in dict.fromkeys((entry.name, entry.mode) for entry in found)
        }
        self.kinds = list(dict.fromkeys(entry.kind for entry in found))
        for kind in self.kinds:
            problems.write(kind, self.checked, torch.float64, self._file(kind, "check"))
            problems.write(kind, tasks, torch.float32, self._file(kind, "speed"))

    def __enter__(self) -> "Measurement":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._folder.cleanup()

    def _close(self) -> None:
        for team in self.teams.values():
            team.close()
        self.teams = {}

    def _file(self, kind: Kind, purpose: str) -> Path:
        return self.folder / f"{kind.name}-{purpose}.pt"

    def _team(self, entry: Entry) -> Team:
        return self.teams[entry.name, entry.mode]

    def _standing(self, kind: Kind | None = None) -> list[Entry]:
        return [entry for entry in self.found if not entry.problem and kind in (None, entry.kind)]

    def _try(self, entry: Entry, work: Callable[[], None]) -> None:
        try:
            work()
        except Failed as failure:
            entry.problem = f"{'not installed' if failure.missing else 'failed'}: {failure}"
            self.say(f"{entry.kind.name} {entry.name} {entry.mode}: {entry.problem}")

    def check(self) -> None:
        """Refuse every contender whose gradient is not the reference's."""
        for kind in self.kinds:
            self.say(f"checking the gradients of {kind.name}")
            entries = self._standing(kind)
            try:
                with Team(REFERENCE, Mode(1, 1), self.device, self.verbose) as team:
                    wanted = self._gradient(team, kind)
            except Failed as failure:
                for entry in entries:
                    entry.problem = f"failed: no gradient to compare with, {failure}"
                self.say(f"{kind.name}: nothing to compare with, {failure}")
                continue
            for entry in entries:
                self._try(entry, lambda entry=entry, wanted=wanted: self._check(entry, wanted))

    def _gradient(self, team: Team, kind: Kind) -> dict[str, torch.Tensor]:
        name = f"{kind.name}-check"
        team.load(name, self._file(kind, "check"), self.checked)
        team.run(name)
        gradient = team.result(name, self.folder)
        team.drop(name)
        return gradient

    def _check(self, entry: Entry, wanted: dict[str, torch.Tensor]) -> None:
        entry.error = relative_error(self._gradient(self._team(entry), entry.kind), wanted)
        if not entry.error < TOLERANCE:
            raise Failed(f"its gradient is off by {entry.error:.1e}, relative")

    def speed(self, rounds: int) -> None:
        for kind in self.kinds:
            self._speed(kind, rounds)

    def _speed(self, kind: Kind, rounds: int) -> None:
        counts: dict[int, int] = {}

        def warm_up(entry: Entry) -> None:
            team = self._team(entry)
            team.load(kind.name, self._file(kind, "speed"), self.tasks)
            team.run(kind.name)
            counts[id(entry)] = max(1, math.ceil(TURN / team.run(kind.name)))

        def turn(entry: Entry) -> None:
            count = counts[id(entry)]
            entry.rates.append(count * self.tasks / self._team(entry).run(kind.name, count))

        self.say(f"speed of {kind.name}: warming up")
        for entry in self._standing(kind):
            self._try(entry, lambda entry=entry: warm_up(entry))
        for number in range(rounds):
            self.say(f"speed of {kind.name}: round {number + 1} of {rounds}")
            standing = self._standing(kind)
            # Each round begins elsewhere, and every second one runs backwards, so that the order changes.
            begin = number * len(standing) // rounds
            order = (standing[begin:] + standing[:begin])[:: 1 if number % 2 == 0 else -1]
            for entry in order:
                self._try(entry, lambda entry=entry: turn(entry))
        for entry in self._standing(kind):
            self._try(entry, lambda entry=entry: self._team(entry).drop(kind.name))

    def memory(self) -> None:
        """Two teams at a time: how much memory they hold does not depend on their speed."""
        self.say("measuring memory")
        self._close()
        bare = {}
        for mode in {entry.mode for entry in self.found}:
            with Team("bare", mode, self.device) as team:
                bare[mode] = sum(team.peak()) / mode.processes

        def measure(entry: Entry) -> None:
            with Team(entry.name, entry.mode, self.device, self.verbose, patient=True) as team:
                team.load(entry.kind.name, self._file(entry.kind, "speed"), self.tasks)
                team.run(entry.kind.name, 2)
                peaks = team.peak()
                entry.processes = len(peaks)
                entry.memory = (sum(peaks) - len(peaks) * bare[entry.mode]) / 2**20

        with ThreadPoolExecutor(2 if self.device == "cpu" else 1) as pool:
            list(pool.map(lambda entry: self._try(entry, lambda: measure(entry)), self._standing()))


def relative_error(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    """The largest over groups of weights (classifier, generator) of |found - wanted| / |wanted|."""
    worst = 0.0
    for group in {name.partition(".")[0] for name in wanted}:
        names = [name for name in wanted if name.startswith(f"{group}.")]
        a, b = (torch.cat([gradient[name].flatten() for name in names]) for gradient in (found, wanted))
        worst = max(worst, float((a - b).norm() / b.norm()))
    return worst
