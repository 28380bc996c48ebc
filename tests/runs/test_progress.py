"""Progress: a bar on a terminal, a line a minute in a log."""

import io
import sys

import pytest
from tqdm import tqdm

from megan.runs import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, which only the test moves."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_one_line_a_minute_with_rate_and_time_left(clock, capsys):
    with progress.bar("train maml", 1000, 400) as bar:
        for _ in range(300):
            clock[0] += 0.5
            bar.update()
            bar.set_postfix_str("accuracy 0.871", refresh=False)
        assert capsys.readouterr().err.splitlines() == [
            "train maml | 520 of 1,000 steps | 2 steps/s | 4 min left | accuracy 0.871",
            "train maml | 640 of 1,000 steps | 2 steps/s | 3 min left | accuracy 0.871",
        ]
    assert capsys.readouterr().err == "train maml | 700 of 1,000 steps | 2 steps/s | 2 min in all | accuracy 0.871\n"


def test_nothing_to_do_is_no_line(clock, capsys):
    with progress.bar("train maml", 10, 10):
        pass
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.bar("train maml", 4, 1) as bar:
        assert isinstance(bar, tqdm)
        for _ in range(3):
            bar.update()
    assert "train maml" in sys.stderr.getvalue() and "4/4" in sys.stderr.getvalue()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "0 s"), (89.4, "89 s"), (90, "2 min"), (3569, "59 min"), (3600, "1 h 00 min"), (11100, "3 h 05 min")],
)
def test_duration(seconds, told):
    assert progress.duration(seconds) == told
