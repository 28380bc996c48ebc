"""On SIGTERM (which clusters send) and SIGINT: save the state, print a message, and stop at the next safe point."""

import signal
from types import FrameType

from megan.runs import progress


class Interrupt:
    """Within the block a signal only sets `asked`. `stop_if_asked` then ends the process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: int = 0

    def __enter__(self) -> "Interrupt":
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = number

    def stop_if_asked(self) -> None:
        """Exit with 128 + signal number, as a shell reports it. Call this after saving the state."""
        if self.asked:
            progress.say(
                f"{self.name}: stopped by {signal.Signals(self.asked).name}; state saved, the same command"
                " continues from here"
            )
            raise SystemExit(128 + self.asked)
