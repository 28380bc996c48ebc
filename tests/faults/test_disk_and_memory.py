"""A full disk, and a device without memory.

The stage prints one line that says what to do and leaves nothing half written. The next run succeeds.
"""

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas
import pytest
from safetensors.numpy import load_file

from megan.config import paths
from tests.faults.conftest import (
    RESULTS,
    assert_same,
    left_over,
    made,
    tiny_document,
    unmake,
    write_params,
    write_splits,
)


def one_line(ended, stage: str) -> str:
    """The only line that the stage printed, apart from progress bars."""
    assert ended.code == 1, ended.output
    assert "Traceback" not in ended.output, ended.output
    line = ended.lines[-1]
    assert line.startswith(f"megan {stage.partition(' ')[0]}: "), ended.output
    return line


def nothing_half_made(folder: Path, whole: Path) -> None:
    """Every file is complete: the same bytes as after an undisturbed run."""
    complete = made(whole)
    for name, content in made(folder).items():
        if not name.startswith(".") and ".tmp/" not in name:
            assert complete[name] == content, name
    assert not [name for name in left_over(folder) if name.endswith(".tmp")]


@pytest.mark.parametrize("stage", RESULTS)
def test_write_that_fails(server, undisturbed, copies, faults, record_property, stage):
    """After a random moment no file may grow beyond a random size, as under a quota or `ulimit -f`."""
    folder, measures = undisturbed
    if stage == "prepare":
        folder = copies(folder)
        measures = {stage: (server.good(folder, stage).events, 0)}
    moments, refused = random.Random(stage), 0
    for trial in range(1, trials := faults(1, 8) + 1):
        copy = copies(folder)
        unmake(copy, stage)
        size = 1 if trial == 1 else int(10 ** moments.uniform(0, 6))
        fault = {"at": 1 if trial == 1 else moments.randint(1, measures[stage][0]), "do": "limit", "bytes": size}
        ended = server.run(copy, *stage.split(), fault=fault)
        if ended.code:
            told = one_line(ended, stage)
            assert "File too large" in told and ("it needs" in told or "free some space" in told), told
            refused += 1
            nothing_half_made(copy, folder)
            server.good(copy, *stage.split())
        assert_same(copy, folder, fault)
        shutil.rmtree(copy)
    assert refused, "no write failed"
    record_property("trials", trials - 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs the rights of root; test_write_that_fails needs none")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("stage", ["train n_plus_1", "test n_plus_1", "encoder"])
def test_full_disk(server, undisturbed, small_disk, stage):
    """A real disk, filled so that the stage's files just do not fit. Then room is made."""
    whole, _ = undisturbed
    project = Path(
        shutil.copytree(
            whole,
            small_disk / "project",
            ignore=lambda folder, names: {"encoder", "judge", "gan", "samples", "figures", "report.html"} & set(names),
        )
    )
    if stage != "encoder":
        unmake(project, stage)
        # Its weights alone would fill the disk.
        (project / paths.encoder("quick")).symlink_to(whole / paths.encoder("quick"))
    free = shutil.disk_usage(small_disk).free
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(free - 8192 if free > 8192 else 0))
    ended = server.run(project, *stage.split())
    told = one_line(ended, stage)
    assert (
        "No space left on device; it needs " in told
        and " additional bytes, and that disk has " in told
        and " free; free some" in told
    )
    nothing_half_made(project, whole)
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=900m", str(small_disk)], check=True)
    server.good(project, *stage.split())
    for name in (name for path in RESULTS[stage] for name in made(project) if name.startswith(str(path))):
        assert (project / name).read_bytes() == (whole / name).read_bytes(), name


def test_folder_that_may_not_be_written(server, undisturbed, copies):
    """Not even by root."""
    copy = copies(undisturbed[0])
    unmake(copy, "train maml")
    if subprocess.run(["chattr", "+i", str(copy / "results/quick/train")], capture_output=True).returncode:
        pytest.skip("making a folder unwritable for root needs chattr")
    try:
        told = one_line(server.run(copy, "train", "maml"), "train")
    finally:
        subprocess.run(["chattr", "-i", str(copy / "results/quick/train")], check=True)
    assert "results/quick/train/maml cannot be written: Operation not permitted" in told and "make it writable" in told
    server.good(copy, "train", "maml")
    assert_same(copy, undisturbed[0], "unwritable")


# Memory


@pytest.fixture(scope="module")
def wide(server, tmp_path_factory) -> Path:
    """Four tasks at a time, in float64."""
    folder = tmp_path_factory.mktemp("wide") / "project"
    folder.mkdir()
    document = tiny_document()
    study = document["studies"]["quick"]
    study["train"].update(meta_batch=4, precision="float64", validation_tasks=4)
    study["tiers"]["headline"].update(seeds=[0])
    write_params(folder, document)
    write_splits(folder)
    server.good(folder, "encoder")  # an input of every training
    return folder


def weights(folder: Path) -> dict:
    return load_file(folder / paths.trained("quick", "n_plus_1") / "weights.safetensors")


def test_out_of_memory_falls_back_to_smaller_chunks(server, wide, copies):
    """Memory is short from the first step on.

    The result has the same bytes as with the smaller chunk from the start, and the same numbers,
    up to rounding, as without the fault.
    """
    whole, fallen, half = copies(wide), copies(wide), copies(wide)
    server.good(whole, "train", "n_plus_1", MEGAN_CHUNK="4")
    server.good(half, "train", "n_plus_1", MEGAN_CHUNK="2")
    ended = server.run(fallen, "train", "n_plus_1", fault={"memory": 3, "calls": 10**6}, MEGAN_CHUNK="4")
    assert ended.code == 0, ended.output
    assert [line for line in ended.lines if "out of memory" in line] == [
        "out of memory on cpu with 4 tasks at a time; continuing with 2 (MEGAN_CHUNK=2 begins with it)"
    ]
    assert made(fallen) == made(half)
    for name, value in weights(whole).items():
        assert abs(weights(fallen)[name] - value).max() < 1e-9, name
    curves = [pandas.read_csv(folder / paths.trained("quick", "n_plus_1") / "curve.csv") for folder in (whole, fallen)]
    pandas.testing.assert_frame_equal(*curves, rtol=1e-9)


@pytest.mark.parametrize("arguments", [("train", "maml"), ("test", "maml")])
def test_one_task_too_many_says_what_to_lower(server, undisturbed, copies, arguments):
    copy = copies(undisturbed[0])
    unmake(copy, " ".join(arguments))
    ended = server.run(copy, *arguments, fault={"memory": 1, "calls": 10**6})
    told = one_line(ended, " ".join(arguments))
    assert (
        "out of memory on cpu with one task at a time;"
        " lower MEGAN_THREADS, or tasks.ways, tasks.shots or the queries in params.yaml"
    ) in told
    nothing_half_made(copy, undisturbed[0])
    server.good(copy, *arguments)
    assert_same(copy, undisturbed[0], arguments)


def test_allocation_that_the_machine_really_refuses():
    """No injected fault: PyTorch's own message on a CPU is recognised."""
    import torch

    from megan.meta.parallel import is_out_of_memory

    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**48, dtype=torch.float64)
    assert (
        is_out_of_memory(refused.value)
        and is_out_of_memory(MemoryError())
        and is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    )
    assert not is_out_of_memory(RuntimeError("shape mismatch")) and not is_out_of_memory(
        ValueError("not enough memory")
    )
