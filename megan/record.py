"""Records of finished studies in `results/record/<study>/`, which git tracks.

`results/<study>/` is managed by DVC, and DVC refuses an output that git tracks.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from megan.config import paths
from megan.config.params import Params
from megan.errors import MeganError
from megan.runs import provenance, result, storage
from megan.stages import registry
from megan.stages.registry import Stage

MANIFEST = "MANIFEST.json"
BEST = ("maml", "n_plus_1")  # variants whose weights a record may contain
LEFT = (".safetensors", ".svg")  # not copied: raw tensors; figures are copied as PNG, and the page contains them as SVG
MIB = 2**20
# From the first long run on, the code and parameters of these stages stay as they are.
FROZEN = ("download", "prepare", "encoder", "judge", "gan", "train", "test", "samples")


class RecordError(MeganError):
    """A record cannot be made, or was altered. The message says what to do."""


def make(params: Params, weights_mib: float = 0, finished: bool = False) -> Path:
    """Copy the current study's results, with a digest of each file.

    **Arguments** `weights_mib`: if not 0, also copy the weights of the seed of `maml` and of `n_plus_1`
    with the best validation accuracy. This is their largest allowed size. `finished`: leave out the stages that are not
    up to date, and copy the curves, which are otherwise in the tables.
    **Raises** `MeganError`, before anything is written, if a stage is out of date for DVC, or a
    result does not match its record.
    """
    study, stages = params.study, registry.stages(params)
    lock = _lock(study, stages, finished)
    kept = [stage for address, stage in stages.items() if address in lock]
    sources = [file for stage in kept for file in _kept(params, stage)]
    if finished:
        sources += [stage.folder / "curve.csv" for stage in kept if stage.name == "train"]
    weights = _best_weights(params, weights_mib) if weights_mib else {}
    target = paths.RECORD / study
    with storage.replacing_folder(target) as folder:
        for source in dict.fromkeys([*sources, *sorted((paths.results(study) / "provenance").glob("*.json"))]):
            copy = folder / source.relative_to(paths.results(study))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
        for name, content in weights.items():
            (folder / "weights").mkdir(exist_ok=True)
            (folder / "weights" / f"{name}.safetensors").write_bytes(content)
        (folder / "params.yaml").write_text(yaml.safe_dump(_resolved(params), sort_keys=False), encoding="utf-8")
        (folder / "dvc.lock").write_text(
            yaml.safe_dump({"schema": "2.0", "stages": lock}, sort_keys=False), encoding="utf-8"
        )
        manifest = {
            "study": study,
            "variants": [name for name in params.variants if f"train@{name}" in lock],
            "commit": provenance.commit(),
            "files": _digests(folder),
        }
        storage.write_json(folder / MANIFEST, manifest)
    return target


def verify(folder: Path) -> dict[str, Any]:
    """The manifest of a record, after checking the digest of every file.

    **Raises** `RecordError` naming the first file that is missing, altered or not listed.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed = dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{folder / MANIFEST} cannot be read ({error}); run: python -m megan record") from None
    found = _digests(folder)
    for name in sorted(listed.keys() | found.keys()):
        if listed.get(name) != found.get(name):
            state = "missing" if name not in found else "not listed" if name not in listed else "altered"
            raise RecordError(
                f"{folder / name} is {state} according to {MANIFEST}; restore the record from git, or run: python -m"
                " megan record"
            )
    return manifest


def compare(params: Params, folder: Path) -> Iterator[str]:
    """One line for each stage of a record whose parameters or code differ from the present ones.

    **Raises** `RecordError` as `verify` does.
    """
    study = verify(folder)["study"]
    if study not in params.studies:
        yield f"params.yaml no longer has the study {study!r}"
        return
    params = params.of(study)
    stages = registry.stages(params)
    for path in sorted(folder.rglob(result.RECORD)):
        made = json.loads(path.read_text(encoding="utf-8"))
        home = (paths.results(study) / path.parent.relative_to(folder)).as_posix()
        stage = next((stage for stage in stages.values() if stage.folder.as_posix() == home), None)
        if stage is None:
            yield f"{path.parent}: params.yaml has no such stage"
        elif changed := _changed(params, stage, made):
            yield f"{stage.address}: {changed}"
    lock = _kept_lock(folder)
    for stage in stages.values():
        entry = lock.get(stage.address) if stage.folder.parts[0] == "data" else None
        if entry and (changed := _changed_data(params, stage, folder, entry)):
            yield f"{stage.address}: {changed}"


def frozen(params: Params, folder: Path) -> list[str]:
    """The lines of `compare` about stages whose results took the time of a long run: see docs/record.md."""
    return [line for line in compare(params, folder) if line.split(":")[0].partition("@")[0] in FROZEN]


def _kept_lock(folder: Path) -> dict[str, Any]:
    """The entries of the record's `dvc.lock`. A record of more than one commit has none."""
    path = folder / "dvc.lock"
    return yaml.safe_load(path.read_text(encoding="utf-8"))["stages"] if path.is_file() else {}


def _changed_data(params: Params, stage: Stage, folder: Path, entry: dict[str, Any]) -> str:
    """As `_changed`, for a stage of data, which keeps no record: by its parameters and DVC's digests of its code."""
    config = folder / paths.config(params.study).name / stage.config.name
    if yaml.safe_load(config.read_text(encoding="utf-8")) != registry.parameters(params, stage):
        return f"its parameters are no longer those of {config}"
    made = {dep["path"]: dep["md5"] for dep in entry["deps"] if dep["path"].startswith("megan/")}
    now = {name: _dvc_digest(registry.ROOT / name) for name in stage.code}
    files = sorted(name for name in made.keys() | now.keys() if made.get(name) != now.get(name))
    return f"the code has changed since: {', '.join(files)}" if files else ""


def _dvc_digest(path: Path) -> str:
    """DVC's MD5 of a file, or of the sorted list of a folder's files."""
    if not path.is_dir():
        return hashlib.md5(path.read_bytes()).hexdigest()
    files = [
        {"md5": _dvc_digest(file), "relpath": file.relative_to(path).as_posix()}
        for file in path.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    ]
    listed = json.dumps(sorted(files, key=lambda file: file["relpath"]), sort_keys=True)
    return hashlib.md5(listed.encode()).hexdigest() + ".dir"


def _changed(params: Params, stage: Stage, made: dict[str, Any]) -> str:
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


def _kept(params: Params, stage: Stage) -> Iterator[Path]:
    """The files of a stage that a record contains, after verifying the result.

    For meta-training and meta-test these are only `record.json`, because the tables hold the rest.
    """
    if stage.keeps_record:
        result.verified(stage.folder, stage.address)
    if stage.item in params.variants:
        yield stage.folder / result.RECORD
        return
    for output in map(Path, stage.outputs):
        if output.parts[0] == "results":
            files = sorted(output.rglob("*")) if output.is_dir() else [output]
            yield from (
                file for file in files if file.is_file() and file.suffix not in LEFT and not file.name.startswith(".")
            )


def _lock(study: str, stages: dict[str, Stage], finished: bool) -> dict[str, Any]:
    """The entries of `dvc.lock` for the study's stages. Raises `RecordError` if one is stale, unless `finished`."""
    prefix = paths.pipeline(study)
    pipeline = prefix.removesuffix(":") or "dvc.yaml"
    stale = json.loads(_dvc("status", "--json", pipeline) or "{}")
    for address, changes in stale.items():
        if not finished:
            told = " ".join(json.dumps(changes).split())
            raise RecordError(
                f"{address} is not up to date ({told:.300}); run: dvc repro {pipeline}, or copy what is finished:"
                " python -m megan record --finished"
            )
        stages = {name: stage for name, stage in stages.items() if prefix + name != address}
    locked = yaml.safe_load(Path(pipeline).with_name("dvc.lock").read_text(encoding="utf-8"))["stages"]
    return {address: entry for address, entry in locked.items() if address in stages}


def _dvc(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RecordError(f"dvc {arguments[0]} failed: {' '.join(done.stderr.split())[-600:]}")
    return done.stdout


def best_checkpoint(folder: Path, made: dict[str, Any]) -> Any | None:
    """The row of `curve.csv` at which a finished seed did best on validation tasks; None if there is none.

    **Arguments** `folder` of a trained variant; `made`: its `record.json`.
    """
    import pandas

    curve = pandas.read_csv(folder / "curve.csv").query("split == 'validation'")
    curve = curve[[str(seed) not in made["diverged"] for seed in curve["seed"]]]
    return None if curve.empty else curve.loc[curve["accuracy"].idxmax()]


def _best_weights(params: Params, most_mib: float) -> dict[str, bytes]:
    """For each variant the weights of the seed with the best validation accuracy, without the seed axis."""
    from safetensors.numpy import load_file, save

    packed = {}
    for name in (name for name in BEST if name in params.variants):
        folder = paths.trained(params.study, name)
        made = result.load(folder)
        best = best_checkpoint(folder, made)
        if best is None:
            continue
        row = made["seeds"].index(int(best["seed"]))
        weights = {key: value[row].copy() for key, value in load_file(folder / "weights.safetensors").items()}
        about = {
            "study": params.study,
            "variant": name,
            "seed": str(int(best["seed"])),
            "meta_step": str(int(best["meta_step"])),
        }
        packed[name] = save(weights, about | {"validation_accuracy": repr(float(best["accuracy"]))})
    size = sum(map(len, packed.values())) / MIB
    if size > most_mib:
        raise RecordError(
            f"the weights of {' and '.join(packed)} have {size:.1f} MiB, more than --weights {most_mib:g};"
            " give a larger number, or omit the option"
        )
    return packed


def _resolved(params: Params) -> dict[str, Any]:
    """The parameters of the current study, with all defaults filled in."""
    document = params.model_dump(mode="json", exclude={"variants_by_study"})
    return {**document, "studies": {params.study: document["studies"][params.study]}}


def _digests(folder: Path) -> dict[str, str]:
    found = [path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST]
    return {path.relative_to(folder).as_posix(): storage.digest_file(path) for path in sorted(found)}
