"""Progress messages and bars on stderr."""

import sys

from tqdm import tqdm


def say(message: str) -> None:
    """Print one line without breaking a progress bar."""
    tqdm.write(message, file=sys.stderr)


def bar(name: str, total: int, done: int = 0) -> tqdm:
    """A progress bar of steps. If stderr is a file, it prints a line every half minute instead."""
    return tqdm(total=total, initial=done, desc=name, unit="step", mininterval=1 if sys.stderr.isatty() else 30)
