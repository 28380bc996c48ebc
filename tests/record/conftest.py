"""A tiny study with four variants of which two were run, and its record, made without DVC."""

import contextlib
import types
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml

from megan.config import params as parameters
from megan.config import paths
from megan.record import writing
from megan.record.check import dvc_digest
from megan.report import figures
from megan.stages import registry

RUN, LEFT = ("maml", "n_plus_1"), ("multi_task_0", "n_plus_1_hybrid")
DRAWN = ("outer_losses", "plain_gan")  # figures: of variants that are left, and of the plain GAN, which is left too
DONE = (
    "config",
    "download",
    "prepare",
    "encoder",
    "judge",
    *(f"{do}@{name}" for do in ("train", "test") for name in RUN),
)


@pytest.fixture(scope="session")
def half(tmp_path_factory):
    """`folder`, `params`, `record` of the study, and `before`: the content of its results before it was recorded."""
    folder = tmp_path_factory.mktemp("half")
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        for name, value in (("DEVICE", "cpu"), ("THREADS", "1"), ("KERNEL", "torch")):
            patch.setenv(f"MEGAN_{name}", value)
        tiny.settle()
        document = yaml.safe_load(paths.PARAMS.read_text())
        document["variants"] = {name: document["variants"][name] for name in (*RUN, *LEFT)}
        document["studies"]["quick"]["judge"] |= {"steps": 1, "batch_size": 4}
        paths.PARAMS.write_text(yaml.safe_dump(document))
        params = parameters.load()
        paths.raw("quick").mkdir(parents=True)
        (paths.raw("quick") / "manifest").touch()
        for address in DONE:
            if address not in ("download", "prepare"):  # the splits are random images
                registry.run(registry.prepare(params, *address.split("@")))
        before = content(paths.results("quick"))
        patch.setattr(figures, "FIGURES", {name: figures.FIGURES[name] for name in DRAWN})
        patch.setattr(writing, "_locked", lambda study: lock(params))
        record = writing.make(params, weights_mib=4, finished=True)
    return types.SimpleNamespace(folder=folder, params=params, record=folder / record, before=before)


def lock(params) -> dict[str, Any]:
    """The entries that DVC would have, as far as a record reads them; one is of a stage that is no longer there."""
    stages, found = registry.stages(params), {}
    for address in (*DONE, "summary"):
        files = {name: registry.ROOT / name for name in stages[address].code}
        found[address] = {"deps": [{"path": name, "md5": dvc_digest(path)} for name, path in files.items()]}
    return found


@pytest.fixture
def inside(half, monkeypatch):
    monkeypatch.chdir(half.folder)
    return half


def content(folder: Path) -> dict[str, bytes]:
    return {path.as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
