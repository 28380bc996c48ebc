"""What long work tells the person who waits: to stderr, without breaking a progress bar."""

import sys

from tqdm import tqdm


def say(message: str) -> None:
    """One line above whatever bar is being drawn."""
    tqdm.write(message, file=sys.stderr)


def bar(name: str, total: int, done: int = 0) -> tqdm:
    """A bar of steps; where stderr is a file, a line every half minute in place of a bar that moves."""
    return tqdm(total=total, initial=done, desc=name, unit="step", mininterval=1 if sys.stderr.isatty() else 30)
