"""Committed records: what a reader needs of a finished study, in `results/record/<study>/`, which git keeps.

`results/<study>/` is DVC's, and DVC refuses an output that git tracks.
"""

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
BEST = ("maml", "n_plus_1")  # whose weights may go with a record
LEFT = (".safetensors", ".svg")  # raw tensors; figures are kept as PNG, and as SVG in the page
MIB = 2**20


class RecordError(MeganError):
    """A record cannot be made, or is not what it was; the message says what to do."""


def make(params: Params, weights_mib: float = 0) -> Path:
    """Copy the current study's results, with a digest of each file.

    **Arguments** `weights_mib`: the best seed of `maml` and `n_plus_1` by validation accuracy
    goes along, if that takes no more.
    **Raises** `MeganError`, before anything is written, when DVC finds a stage out of date, or a
    result is not what its record describes.
    """
    study, stages = params.study, registry.stages(params)
    lock = _lock(stages)
    sources = [file for stage in stages.values() for file in _kept(params, stage)]
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
            "variants": list(params.variants),
            "commit": provenance.commit(),
            "files": _digests(folder),
        }
        storage.write_json(folder / MANIFEST, manifest)
    return target


def verify(folder: Path) -> dict[str, Any]:
    """The manifest of a record whose every file is as it was recorded.

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
                f"{folder / name} is {state}, by {MANIFEST}; restore the record from git, or run: python -m"
                " megan record"
            )
    return manifest


def compare(params: Params, folder: Path) -> Iterator[str]:
    """A line for each stage of a record that the parameters or the code at hand would make otherwise.

    **Raises** `RecordError` as `verify` does.
    """
    study = verify(folder)["study"]
    if study not in params.studies:
        yield f"params.yaml has no study {study!r} any more"
        return
    stages = registry.stages(params.model_copy(update={"study": study}))
    for path in sorted(folder.rglob(result.RECORD)):
        made = json.loads(path.read_text(encoding="utf-8"))
        home = (paths.results(study) / path.parent.relative_to(folder)).as_posix()
        stage = next((stage for stage in stages.values() if stage.folder.as_posix() == home), None)
        if stage is None:
            yield f"{path.parent}: params.yaml has no such stage"
        elif changed := _changed(params.model_copy(update={"study": study}), stage, made):
            yield f"{stage.address}: {changed}"


def _changed(params: Params, stage: Stage, made: dict[str, Any]) -> str:
    """What would be otherwise if the stage ran now, or ""."""
    try:
        result.check_parameters(stage.folder, made, registry.parameters(params, stage), stage.address)
    except result.StaleError as error:
        return str(error).partition(";")[0]
    code, now = made.get("code"), registry.code(stage)
    if code is None:
        return "made by an earlier layout of the code"
    files = sorted(name for name in code.keys() | now.keys() if code.get(name) != now.get(name))
    return f"the code has changed since: {', '.join(files)}" if files else ""


def _kept(params: Params, stage: Stage) -> Iterator[Path]:
    """The files of a stage that a record keeps, its result verified.

    Of a meta-training and a meta-test it keeps `record.json` alone, since the tables hold the rest.
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


def _lock(stages: dict[str, Stage]) -> dict[str, Any]:
    """The entries of `dvc.lock` that the record rests on. Raises `RecordError` when one is stale."""
    for address, changes in json.loads(_dvc("status", "--json") or "{}").items():
        raise RecordError(f"{address} is not up to date ({' '.join(json.dumps(changes).split()):.300}); run: dvc repro")
    locked = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]
    return {address: entry for address, entry in locked.items() if address in stages}


def _dvc(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RecordError(f"dvc {arguments[0]} failed: {' '.join(done.stderr.split())[-600:]}")
    return done.stdout


def best_checkpoint(folder: Path, made: dict[str, Any]) -> Any | None:
    """The row of `curve.csv` at which a finished seed did best on validation tasks; None where every seed diverged.

    **Arguments** `folder` of a trained variant; `made`: its `record.json`.
    """
    import pandas

    curve = pandas.read_csv(folder / "curve.csv").query("split == 'validation'")
    curve = curve[[str(seed) not in made["diverged"] for seed in curve["seed"]]]
    return None if curve.empty else curve.loc[curve["accuracy"].idxmax()]


def _best_weights(params: Params, most_mib: float) -> dict[str, bytes]:
    """By variant, the weights of the seed that did best on validation tasks, without the seed axis."""
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
            f"the weights of {' and '.join(packed)} have {size:.1f} MiB: more than --weights {most_mib:g};"
            " raise it, or leave it out"
        )
    return packed


def _resolved(params: Params) -> dict[str, Any]:
    """The current study's parameters, every default filled in."""
    document = params.model_dump(mode="json")
    return {**document, "studies": {params.study: document["studies"][params.study]}}


def _digests(folder: Path) -> dict[str, str]:
    found = [path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST]
    return {path.relative_to(folder).as_posix(): storage.digest_file(path) for path in sorted(found)}
