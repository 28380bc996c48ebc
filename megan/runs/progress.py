"""Progress messages and bars on stderr: a bar on a terminal, a line a minute in a log."""

import sys
import time

from tqdm import tqdm

EVERY = 60.0  # seconds between the lines of a log


def say(message: str) -> None:
    """Print one line without breaking a progress bar."""
    tqdm.write(message, file=sys.stderr)


def bar(name: str, total: int, done: int = 0) -> "tqdm | Lines":
    """Progress over `total` steps of which `done` are done, with the rate and the time left.

    A bar where stderr is a terminal. Elsewhere (DVC, Snakemake and clusters write logs) a line a minute, and one at
    the end.
    """
    if sys.stderr.isatty():
        return tqdm(total=total, initial=done, desc=name, unit="step", mininterval=1, dynamic_ncols=True)
    return Lines(name, total, done)


class Lines:
    """What is used of a `tqdm` bar, as lines: `train maml | 400 of 2,500 steps | 3.1 steps/s | 11 min left`."""

    def __init__(self, name: str, total: int, done: int) -> None:
        self.name, self.total, self.done, self._first = name, total, done, done
        self._started = self._printed = time.monotonic()
        self._postfix = ""

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        if self.done > self._first:
            self._print(f"{duration(time.monotonic() - self._started)} in all")

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """What the next line ends with. `refresh` is there as in tqdm, and has no effect."""
        self._postfix = text

    def update(self, steps: int = 1) -> None:
        self.done += steps
        now = time.monotonic()
        if now - self._printed >= EVERY:
            self._printed = now
            self._print(f"{duration((self.total - self.done) / self._rate(now))} left")

    def _rate(self, now: float) -> float:
        """Steps a second, of this process alone."""
        return (self.done - self._first) / max(now - self._started, 1e-9)

    def _print(self, when: str) -> None:
        columns = [
            self.name,
            f"{self.done:,} of {self.total:,} steps",
            f"{self._rate(time.monotonic()):.3g} steps/s",
            when,
        ]
        say(" | ".join([*columns, *filter(None, [self._postfix])]))


def duration(seconds: float) -> str:
    """A time for a person, as `45 s`, `12 min` or `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
