"""Speed and memory of contenders, interleaved, after a check that all compute the same.

    check    the float64 meta-gradient of each beside the autograd loop's
    speed    rounds in which each contender has one turn, alone; the median over rounds
    memory   the peak of fresh processes, less that of an interpreter with torch imported
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

    @property
    def ours(self) -> bool:
        return CONTENDERS[self.name].ours

    @property
    def rate(self) -> float:
        return statistics.median(self.rates) if self.rates else math.nan


def entries(names: list[str], kinds: list[Kind], modes: list[Mode]) -> list[Entry]:
    return [
        Entry(name, kind, mode) for kind in kinds for name in names if kind.approach in CONTENDERS[name].modules for mode in modes
    ]


class Measurement:
    """`say` is told of progress; `found` is filled in by the methods, in the order check, speed, memory."""

    def __init__(self, found: list[Entry], tasks: int, device: str, say: Callable[[str], None], verbose: bool = False) -> None:
        self.found, self.tasks, self.device, self.say, self.verbose = found, tasks, device, say, verbose
        self._folder = tempfile.TemporaryDirectory(prefix="megan-benchmark-")
        self.folder = Path(self._folder.name)
        self.checked = max(CHECKED_TASKS, *(entry.mode.processes for entry in found))
        # All at once: an interpreter takes seconds to import torch, and they need not queue for it.
        self.teams = {key: Team(*key, device, verbose) for key in dict.fromkeys((entry.name, entry.mode) for entry in found)}
        for kind in {entry.kind for entry in found}:
            problems.write(kind, self.checked, torch.float64, self._file(kind, "check"))
            problems.write(kind, tasks, torch.float32, self._file(kind, "speed"))

    def __enter__(self) -> "Measurement":
        return self

    def __exit__(self, *_: object) -> None:
        for team in self.teams.values():
            team.close()
        self._folder.cleanup()

    def _file(self, kind: Kind, purpose: str) -> Path:
        return self.folder / f"{kind.name}-{purpose}.pt"

    def _team(self, entry: Entry) -> Team:
        return self.teams[entry.name, entry.mode]

    def _standing(self) -> list[Entry]:
        return [entry for entry in self.found if not entry.problem]

    def _try(self, entry: Entry, work: Callable[[], None]) -> None:
        try:
            work()
        except Failed as failure:
            entry.problem = f"{'not installed' if failure.missing else 'failed'}: {failure}"
            self.say(f"{entry.kind.name} {entry.name} {entry.mode}: {entry.problem}")

    def check(self) -> None:
        """Refuse whoever's gradient is not the reference's. Two teams at a time."""
        with ThreadPoolExecutor(2) as pool:
            for kind in dict.fromkeys(entry.kind for entry in self.found):
                self.say(f"checking the gradients of {kind.name}")
                entries = [entry for entry in self._standing() if entry.kind == kind]
                try:
                    with Team(REFERENCE, Mode(1, 1), self.device, self.verbose) as team:
                        wanted = self._gradient(team, kind)
                except Failed as failure:
                    for entry in entries:
                        entry.problem = f"failed: no gradient to compare with, {failure}"
                    self.say(entries[0].problem)
                    continue
                list(pool.map(lambda entry, wanted=wanted: self._try(entry, lambda: self._check(entry, wanted)), entries))

    def _gradient(self, team: Team, kind: Kind) -> dict[str, torch.Tensor]:
        name = f"{kind.name}-check"
        team.load(name, self._file(kind, "check"), self.checked)
        team.run(name)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            return team.result(name, Path(folder))

    def _check(self, entry: Entry, wanted: dict[str, torch.Tensor]) -> None:
        entry.error = relative_error(self._gradient(self._team(entry), entry.kind), wanted)
        if not entry.error < TOLERANCE:
            raise Failed(f"its gradient is off by {entry.error:.1e}, relative")

    def speed(self, rounds: int) -> None:
        counts: dict[int, int] = {}

        def warm_up(entry: Entry) -> None:
            team = self._team(entry)
            team.load(entry.kind.name, self._file(entry.kind, "speed"), self.tasks)
            team.run(entry.kind.name)
            counts[id(entry)] = max(1, math.ceil(TURN / team.run(entry.kind.name)))

        def turn(entry: Entry) -> None:
            count = counts[id(entry)]
            entry.rates.append(count * self.tasks / self._team(entry).run(entry.kind.name, count))

        self.say("warming up")
        for entry in self._standing():
            self._try(entry, lambda entry=entry: warm_up(entry))
        for number in range(rounds):
            self.say(f"round {number + 1} of {rounds}")
            standing = self._standing()
            # Each round begins elsewhere and every other goes backwards, so that nobody always follows the same one.
            begin = number * len(standing) // rounds
            order = (standing[begin:] + standing[:begin])[:: 1 if number % 2 == 0 else -1]
            for entry in order:
                self._try(entry, lambda entry=entry: turn(entry))

    def memory(self) -> None:
        """Two teams at a time: how much they hold does not depend on how fast they go."""
        self.say("measuring memory")
        bare = {}
        for mode in {entry.mode for entry in self.found}:
            with Team("bare", mode, self.device) as team:
                bare[mode] = team.peak()

        def measure(entry: Entry) -> None:
            with Team(entry.name, entry.mode, self.device, self.verbose) as team:
                team.load(entry.kind.name, self._file(entry.kind, "speed"), self.tasks)
                team.run(entry.kind.name, 2)
                entry.memory = (sum(team.peak()) - sum(bare[entry.mode])) / 2**20

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
