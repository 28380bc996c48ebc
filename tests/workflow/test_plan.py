"""The simulation of docs/plan.md: on graphs whose answer is known, and the tables of the page."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools import plan
from tools.plan import RECORD, Task, simulate

ROOT = Path(__file__).parents[2]


def tasks(**seconds: tuple[float, list[str]]) -> dict[str, Task]:
    return {name: Task(name, time, True, after) for name, (time, after) in seconds.items()}


def test_a_chain_takes_its_sum_on_any_number_of_machines():
    for machines in (1, 5):
        found = simulate(tasks(a=(100, []), b=(200, ["a"]), c=(50, ["b"])), machines)
        assert found.total == pytest.approx(350 + 3 * RECORD)
        assert found.path == ["a", "b", "c"] and found.path_seconds == 350 and found.busy == 350


def test_jobs_share_machines():
    """Six of equal length on two machines in three rounds; on one machine, one after the other."""
    six = {name: (100.0, []) for name in "abcdef"}
    assert simulate(tasks(**six), 2).total == pytest.approx(300 + 2 * RECORD)  # two end at once
    assert simulate(tasks(**six), 1).total == pytest.approx(600 + RECORD)
    assert simulate(tasks(**six), 100).total == pytest.approx(100 + 6 * RECORD)


def test_the_longest_way_goes_first():
    """The short job that a long one waits for is taken before one that nobody waits for."""
    found = simulate(tasks(alone=(100, []), first=(10, []), second=(100, ["first"])), 1)
    assert found.path == ["first", "second"]
    assert found.total == pytest.approx(10 + 100 + 100 + RECORD)  # while `first` is recorded, `alone` works
    assert simulate(tasks(alone=(100, []), first=(10, []), second=(100, ["first"])), 2).total < 130


def test_short_stages_need_no_machine():
    graph = tasks(a=(100, [])) | {"short": Task("short", 70, False, [])}
    found = simulate(graph, 1)
    assert found.busy == 100 and found.total == pytest.approx(100 + RECORD)


def test_the_graph_is_that_of_the_stages(monkeypatch):
    monkeypatch.chdir(ROOT)
    whole = plan.whole("CPU node")
    assert sum(":train@" in name for name in whole) == 3 * plan.VARIANTS
    assert set(whole["omniglot:test@maml"].after) >= {"omniglot:train@maml", "omniglot:encoder", "omniglot:judge"}
    assert not [one for task in whole.values() for one in task.after if one.split(":")[0] != task.name.split(":")[0]]
    apart = plan.whole("CPU node", a_job_a_seed=True)
    assert "omniglot:train@maml/3" in apart["omniglot:test@maml/3"].after
    assert sum("train@" in name and "/" in name for name in apart) == 3 * plan.VARIANTS * plan.SEEDS


def test_the_document_has_the_tables(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs/plan.md").read_text(encoding="utf-8")
    for table in (plan.rows(), plan.chain("CPU node"), plan.rows(a_job_a_seed=True)):
        assert "\n".join(table) in text, "run: python -m tools.plan"


def test_no_argument_is_passed_over():
    """`--help` explains, and a wish that has no effect is refused."""

    def told(*arguments: str, expect: int) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tools.plan", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == expect
        return done.stdout + done.stderr

    assert "tables of docs/plan.md" in told("--help", expect=0)
    assert "unrecognized arguments: --machines 3" in told("--machines", "3", expect=2)
