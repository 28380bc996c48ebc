"""Kills at random moments: the same command then continues, and its result equals an undisturbed run's to the bit.

One folder goes through several kills in a row, as on a cluster that preempts. The moments
are events of the file system (each open, rename and removal, so also those inside the write
of a checkpoint and the publishing of a result), bytes within a write, and points in time.
"""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from megan.stages import registry
from tests.faults.conftest import RESULTS, assert_same, unmake

TRAININGS = [stage for stage in RESULTS if stage.startswith("train ")]
STOPPED = (signal.SIGKILL, signal.SIGXFSZ, signal.SIGALRM)


def test_every_stage_is_met():
    assert {stage.partition(" ")[0] for stage in RESULTS} == {command.name for command in registry.commands()} - {
        registry.CONFIG
    }


def random_fault(moments: random.Random, events: int, seconds: float) -> dict:
    kind = moments.random()
    if kind < 0.6:
        return {"at": moments.randint(1, events), "do": "kill"}
    if kind < 0.85:  # file sizes are spread over decades
        return {
            "at": moments.randint(1, events),
            "do": "limit",
            "bytes": int(10 ** moments.uniform(0, 6)),
            "fatal": True,
        }
    return {"after": moments.uniform(0.01, seconds)}


def live(server, folder: Path, stage: str, moments: random.Random, most: int, measure: tuple[int, float]) -> int:
    """Run the stage to its end through at most `most` kills. Returns how many there were."""
    for kills in range(most + 1):
        fault = random_fault(moments, *measure) if kills < most else None
        # One life may fork for a second core and the next may not: the numbers are the same, and no fork may
        # outlive its parent.
        cores = moments.choice("12") if stage.partition(" ")[0] in ("train", "test") else "1"
        ended = server.run(folder, *stage.split(), fault=fault, MEGAN_THREADS=cores)
        if ended.code == 0:
            return kills
        assert -ended.code in STOPPED, f"{stage} after {fault}: {ended.output}"
    raise AssertionError(f"{stage} does not come to its end: {ended.output}")


def killed_lives(server, source: Path, copies, stage: str, measure, kills: int, most: int) -> int:
    """Lives until there were `kills` kills."""
    done = life = 0
    while done < kills:
        life += 1
        folder = copies(source)
        unmake(folder, stage)
        done += live(server, folder, stage, random.Random(f"{stage} {life}"), most, measure)
        assert_same(folder, source, f"{stage}, life {life}")
        shutil.rmtree(folder)
    return done


@pytest.mark.parametrize("stage", TRAININGS)
def test_training_through_random_kills(server, undisturbed, copies, faults, record_property, stage):
    folder, measures = undisturbed
    record_property("trials", killed_lives(server, folder, copies, stage, measures[stage], faults(4, 110), most=5))


@pytest.mark.parametrize("stage", [stage for stage in RESULTS if stage not in (*TRAININGS, "prepare")])
def test_other_stages_through_random_kills(server, undisturbed, copies, faults, record_property, stage):
    folder, measures = undisturbed
    record_property("trials", killed_lives(server, folder, copies, stage, measures[stage], faults(1, 12), most=3))


def test_preparing_through_random_kills(server, undisturbed, copies, faults, record_property):
    folder = copies(undisturbed[0])
    began = time.monotonic()
    ended = server.good(folder, "prepare")
    measure = ended.events, time.monotonic() - began
    record_property("trials", killed_lives(server, folder, copies, "prepare", measure, faults(1, 12), most=3))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stage", [*TRAININGS, "encoder"])
def test_stopped_when_asked_at_random_moments(server, undisturbed, copies, faults, record_property, stage, number):
    """Within the loop the state is saved, one line says so, and the exit code is the shell's.

    Outside the loop nothing is lost either.
    """
    folder, measures = undisturbed
    moments, announced = random.Random(f"{stage} {number}"), 0
    for trial in range(1, trials := faults(1, 10) + 1):
        copy = copies(folder)
        unmake(copy, stage)
        # First halfway, then anywhere.
        at = measures[stage][0] // 2 if trial == 1 else moments.randint(1, measures[stage][0])
        ended = server.run(copy, *stage.split(), fault={"at": at, "do": "signal", "number": number})
        stopped = [line for line in ended.lines if "stopped by" in line]
        if ended.code == 128 + number and not any("interrupted; the same command" in line for line in ended.lines):
            assert stopped == [
                line
                for line in ended.lines
                if line.startswith(f"{stage.replace(' ', '@')}: stopped by {number.name}; state saved")
            ]
            assert len(stopped) == 1 and "Traceback" not in ended.output
            announced += 1
            again = server.good(copy, *stage.split())
            assert "continuing" in again.output or stage == "encoder"
        elif ended.code:
            assert trial > 1 or stage == "encoder", ended.output  # whose loop is short beside its start
            server.good(copy, *stage.split())
        assert_same(copy, folder, f"{stage}, {number.name} at {at}")
        shutil.rmtree(copy)
    assert announced or stage == "encoder"  # tests/test_pretrain.py stops that within its loop
    record_property("trials", trials - 1)


def test_state_that_was_changed_is_not_resumed(server, undisturbed, copies):
    """The state has a flipped bit, is cut short, or belongs to other parameters, under the right name."""
    folder, measures = undisturbed
    stage = TRAININGS[0]
    half = {"at": measures[stage][0] // 2, "do": "kill"}
    killed = copies(folder)
    unmake(killed, stage)
    server.run(killed, *stage.split(), fault=half)
    (name,) = (path.relative_to(killed) for path in killed.glob(".resume/**/state.safetensors"))
    for change, told in (
        (lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:], "was changed since it was saved"),
        (lambda content: content[: len(content) // 2], "cannot be read"),
        (lambda content: b"\x80\x04c__builtin__\nprint\n.", "cannot be read"),  # the beginning of a pickle
    ):
        copy = copies(killed)
        (copy / name).write_bytes(change((copy / name).read_bytes()))
        ended = server.good(copy, *stage.split())
        assert (
            told in ended.output
            and "starting from the beginning" in ended.output
            and "continuing from" not in ended.output
        )
        assert_same(copy, folder, told)
    text = (killed / "params.yaml").read_text()
    changed = text.replace("learning_rate: 0.4", "learning_rate: 0.3")
    assert changed != text
    copy = copies(killed)
    (copy / "params.yaml").write_text(changed)
    server.run(copy, *stage.split(), fault=half)
    (other,) = (path for path in copy.glob(".resume/**/state.safetensors") if path != copy / name)
    other.write_bytes((copy / name).read_bytes())
    assert (
        "was made with other parameters, data or code; starting from the beginning"
        in server.good(copy, *stage.split()).output
    )
