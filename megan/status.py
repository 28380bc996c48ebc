"""What is done and what is left of a study, with the measured rates and the time left: `python -m megan status`.

It reads records, provenance and checkpoints, and no weights, so it takes a second. DVC decides what runs again
(`dvc status`); here a result counts as stale if its parameters or code are no longer those of its record.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from megan.config import paths
from megan.config.params import Params
from megan.runs import result
from megan.runs.progress import duration
from megan.stages import registry
from megan.stages.registry import Stage

HEADER = ("variant", "tier", "seeds", "meta-steps", "tasks/s", "train", "test", "time left")


@dataclass
class Row:
    """One variant. `rate`: meta-training tasks a second; `test_rate`: meta-test tasks a second; None if unmeasured."""

    variant: str
    tier: str
    approach: str
    seeds: int
    diverged: int
    done: int  # meta-steps
    meta_steps: int
    train: str  # done | running | begun | stale | left
    test: str
    train_tasks: int  # of one meta-step, all seeds
    test_tasks: int
    rate: float | None
    test_rate: float | None
    estimated: bool = False  # the rate is that of other variants of the approach

    @property
    def seconds(self) -> float | None:
        """Time left, or None if no rate is known."""
        train = 0 if self.train == "done" else (self.meta_steps - self.done) * self.train_tasks
        test = 0 if self.test == "done" else self.test_tasks
        if (train and not self.rate) or (test and not self.test_rate):
            return None
        return (train / self.rate if self.rate else 0.0) + (test / self.test_rate if self.test_rate else 0.0)


def table(params: Params) -> str:
    """The current study as text: a summary, a line for each variant, and the other stages."""
    states = _states(params)
    found = list(_rows(params, states))
    _estimate(found)
    lines = [HEADER, *map(_cells, found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    body = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    others = [f"{stage} {state}" for stage, state in states.items() if "@" not in stage]
    return "\n".join([_summary(params.study, found), "", *body, "", "other stages: " + ", ".join(others)])


def _summary(study: str, rows: list[Row]) -> str:
    trained, tested = (sum(getattr(row, stage) == "done" for row in rows) for stage in ("train", "test"))
    known = [row.seconds for row in rows if row.seconds is not None]
    text = f"study {study}: of {len(rows)} variants {trained} trained, {tested} tested"
    if sum(known) > 0:
        text += f"; {duration(sum(known))} left at the measured rates"
    if len(known) < len(rows):
        text += f"; {len(rows) - len(known)} have no measured rate yet"
    return text


def _cells(row: Row) -> tuple[str, ...]:
    rate = f"{'~' * row.estimated}{row.rate:.0f}" if row.rate else ""
    left = "?" if row.seconds is None else duration(row.seconds) if row.seconds else ""
    seeds = f"{row.seeds} ({row.diverged} diverged)" if row.diverged else str(row.seeds)
    return (row.variant, row.tier, seeds, f"{row.done:,} of {row.meta_steps:,}", rate, row.train, row.test, left)


def _states(params: Params) -> dict[str, str]:
    """The state of every stage, by address: done, running, begun, stale or left."""
    digests: dict[str, str] = {}
    return {address: _state(params, stage, digests) for address, stage in registry.stages(params).items()}


def _state(params: Params, stage: Stage, digests: dict[str, str]) -> str:
    if _holder(params.study, stage.address):
        return "running"
    if not stage.keeps_record:
        return "done" if all(Path(output).exists() for output in stage.outputs) else "left"
    try:
        record = result.load(stage.folder)
        result.check_parameters(stage.folder, record, registry.parameters(params, stage), stage.target)
    except result.StaleError:
        return "stale"
    except (OSError, ValueError):
        return "begun" if _checkpoint(params.study, stage.address) else "left"
    return "done" if record.get("code") == registry.code(stage, digests) else "stale"


def _rows(params: Params, states: dict[str, str]) -> Iterator[Row]:
    for name, variant in params.variants.items():
        tier, batch = params.tier(name), params.settings(name).train.meta_batch
        train, test = states[f"train@{name}"], states[f"test@{name}"]
        done, rate = _trained(params, name, train, batch * len(tier.seeds))
        record = _json(paths.trained(params.study, name) / result.RECORD) if train == "done" else {}
        wall = _json(paths.provenance(params.study, f"test-{name}")).get("wall_seconds") if test == "done" else None
        yield Row(
            variant=name,
            tier=variant.tier,
            approach=variant.approach,
            seeds=len(tier.seeds),
            diverged=len(record.get("diverged", ())),
            done=done,
            meta_steps=tier.meta_steps,
            train=train,
            test=test,
            train_tasks=batch * len(tier.seeds),
            test_tasks=tier.test_tasks * len(tier.seeds),
            rate=rate,
            test_rate=tier.test_tasks * len(tier.seeds) / wall if wall else None,
        )


def _trained(params: Params, name: str, state: str, tasks: int) -> tuple[int, float | None]:
    """Meta-steps done, and tasks a second. `tasks`: of one meta-step, all seeds."""
    if state == "done":
        rate = _json(paths.provenance(params.study, f"train-{name}")).get("tasks_per_second")
        return params.tier(name).meta_steps, rate
    step, seconds = _checkpoint(params.study, f"train@{name}") or (0, 0.0)
    return step, step * tasks / seconds if seconds else None


def _checkpoint(study: str, address: str) -> tuple[int, float] | None:
    """Meta-step and wall time of the newest checkpoint of a stage; 0 meta-steps if it counts none."""
    files = list((paths.RESUME / study / address).glob("*/state.safetensors"))
    if not files:
        return None
    try:
        with safe_open(max(files, key=lambda file: file.stat().st_mtime), framework="numpy") as file:
            if "step" not in set(file.keys()):
                return 0, 0.0
            progress = json.loads((file.metadata() or {}).get("progress", "{}"))
            return int(file.get_tensor("step")), progress.get("seconds", 0.0)
    except (SafetensorError, OSError, ValueError):
        return None  # it is being replaced, or is damaged: the stage itself says so


def _holder(study: str, address: str) -> int | None:
    """The process that works on a stage, if it lives."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((paths.RESUME / study / address / "holder.pid").read_text())
        os.kill(pid, 0)
        return pid
    return None


def _estimate(rows: list[Row]) -> None:
    """Give rows without a rate the mean of their approach, or of all variants for the meta-test."""
    for row in rows:
        if row.rate is None:
            row.rate = _mean([other.rate for other in rows if other.approach == row.approach and not other.estimated])
            row.estimated = row.rate is not None
    measured = _mean([row.test_rate for row in rows])
    for row in rows:
        row.test_rate = row.test_rate or measured


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value]
    return sum(known) / len(known) if known else None


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
