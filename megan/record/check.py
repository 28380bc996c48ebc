"""Whether a record agrees with the present parameters and code."""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from megan.config import paths
from megan.config.params import Params
from megan.record import commands, pages
from megan.record.manifest import RecordError, verify
from megan.runs import result, storage
from megan.stages import registry
from megan.stages.registry import Stage

# From the first long run on, the code and parameters of these stages stay as they are.
FROZEN = ("download", "prepare", "encoder", "judge", "gan", "train", "test", "samples")


def compare(params: Params, folder: Path) -> Iterator[str]:
    """One line for each stage of a record whose parameters or code differ from the present ones.

    Also one for each file that is not what its stage wrote, and for the library of the page if that is damaged.

    What a provisional record computed is compared with the study without the stages that had not been run.

    **Raises** `RecordError` as `verify` does.
    """
    manifest = verify(folder)
    study = manifest["study"]
    if study not in params.studies:
        yield f"params.yaml no longer has the study {study!r}"
        return
    params = params.of(study)
    partial = params.without(manifest.get("not_run", ()))
    stages = registry.stages(params)
    lock = kept_lock(folder)
    if found := pages.broken_library(folder / pages.NAME):
        yield found
    for path in sorted(folder.rglob(result.RECORD)):
        made = json.loads(path.read_text(encoding="utf-8"))
        for name, digest in made.get("files", {}).items():
            file = path.parent / name  # a record leaves some out
            if file.is_file() and storage.digest_file(file) != digest:
                yield f"{file} is not what {path} says that its stage wrote"
        home = (paths.results(study) / path.parent.relative_to(folder)).as_posix()
        stage = next((stage for stage in stages.values() if stage.folder.as_posix() == home), None)
        if stage is None:
            yield f"{path.parent}: params.yaml has no such stage"
        elif found := changed(params if stage.item or stage.address in lock else partial, stage, made):
            yield f"{stage.address}: {found}"
    for stage in stages.values():
        entry = lock.get(stage.address) if stage.folder.parts[0] == "data" else None
        if entry and (found := _changed_data(params, stage, folder, entry)):
            yield f"{stage.address}: {found}"


def frozen(params: Params, folder: Path) -> list[str]:
    """The lines of `compare` about stages whose results took the time of a long run: see docs/record.md."""
    return [line for line in compare(params, folder) if line.split(":")[0].partition("@")[0] in FROZEN]


def in_clone(folder: Path) -> list[str]:
    """Stages from download to samples that a fresh clone would run again in spite of the record's lock.

    It clones the present commit, puts the record's `dvc.lock` there, makes a study of the root's pipeline the current
    one, and asks `dvc repro --allow-missing --dry`. An
    empty list says that code, parameters and results of the commit and of the record belong together. What follows a
    stale stage may be left out.

    **Raises** `RecordError` if the record has no lock, or git or DVC fail.
    """
    study, lock = verify(folder)["study"], kept_lock(folder)
    prefix = paths.pipeline(study)
    wanted = {prefix + address: address for address in lock if address.partition("@")[0] in FROZEN}
    if not wanted:
        raise RecordError(
            f"{folder / 'dvc.lock'} names no stage from download to samples, so there is nothing to check"
        )
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch) / "clone"
        commands.git("clone", "-q", "--shared", ".", str(clone))
        shutil.copyfile(folder / "dvc.lock", clone / Path(prefix.removesuffix(":") or "dvc.yaml").with_name("dvc.lock"))
        if not prefix:  # the root's pipeline runs the study that params.yaml names
            own = (clone / paths.PARAMS).read_text(encoding="utf-8")
            text = re.sub(r"^study: .*$", f"study: {study}", own, count=1, flags=re.MULTILINE)
            (clone / paths.PARAMS).write_text(text, encoding="utf-8")
        return [wanted[target] for target in commands.would_run(clone, wanted)]


def locked_stages(folder: Path) -> set[str]:
    """The stages, without their items, that the record's `dvc.lock` names. A provisional one lacks `samples`."""
    return {address.partition("@")[0] for address in kept_lock(folder)}


def kept_lock(folder: Path) -> dict[str, Any]:
    """The entries of the record's `dvc.lock`. A record of more than one commit has none."""
    path = folder / "dvc.lock"
    return yaml.safe_load(path.read_text(encoding="utf-8"))["stages"] if path.is_file() else {}


def _changed_data(params: Params, stage: Stage, folder: Path, entry: dict[str, Any]) -> str:
    """As `changed`, for a stage of data, which keeps no record: by its parameters and DVC's digests of its code."""
    config = folder / paths.config(params.study).name / stage.config.name
    if not config.is_file():
        return "made by an older version of the code, which did not keep its parameters"
    if yaml.safe_load(config.read_text(encoding="utf-8")) != registry.parameters(params, stage):
        return f"its parameters are no longer those of {config}"
    made = {dep["path"]: dep["md5"] for dep in entry["deps"] if dep["path"].startswith("megan/")}
    now = {name: dvc_digest(registry.ROOT / name) for name in stage.code}
    files = sorted(name for name in made.keys() | now.keys() if made.get(name) != now.get(name))
    return f"the code has changed since: {', '.join(files)}" if files else ""


def dvc_digest(path: Path) -> str:
    """DVC's MD5 of a file, or of the sorted list of a folder's files."""
    if not path.is_dir():
        return hashlib.md5(path.read_bytes()).hexdigest()
    files = [
        {"md5": dvc_digest(file), "relpath": file.relative_to(path).as_posix()}
        for file in path.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    ]
    listed = json.dumps(sorted(files, key=lambda file: file["relpath"]), sort_keys=True)
    return hashlib.md5(listed.encode()).hexdigest() + ".dir"


def changed(params: Params, stage: Stage, made: dict[str, Any]) -> str:
    """How the present parameters or code differ from those of the record, or ""."""
    try:
        result.check_parameters(stage.folder, made, registry.parameters(params, stage), stage.address)
    except result.StaleError as error:
        return str(error).partition(";")[0]
    code, now = made.get("code"), registry.code(stage)
    if code is None:
        return "made by an older version of the code, which recorded no source files"
    files = sorted(name for name in code.keys() | now.keys() if code.get(name) != now.get(name))
    return f"the code has changed since: {', '.join(files)}" if files else ""
