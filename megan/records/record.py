"""Committed records: `python -m megan record` copies of a finished study what a reader needs without running anything.

They lie in `results/record/<study>/`, which git keeps; `results/<study>/` is DVC's, and DVC
refuses an output that git tracks.
"""

import argparse
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from megan import paths, provenance, storage
from megan.errors import MeganError
from megan.meta import work
from megan.params import Params
from megan.records import bundle, importing, outcome, tracking

MANIFEST = "MANIFEST.json"
BEST = ("maml", "n_plus_1")  # whose weights may go with a record

# Of each result, what is read without running anything. The tables hold the curves and tests of all variants.
ALONE = {
    "encoder": ["metrics.json", "record.json"],
    "judge": ["metrics.json", "record.json"],
    "gan": ["quality.csv", "losses.csv", "record.json"],
    "samples": ["realism.csv", "tasks.csv", "grids.safetensors", "record.json"],
    "train": ["record.json"],
    "test": ["queries.csv", "record.json"],
}
OF_VARIANTS = {"train": ["curve.csv", "record.json"], "test": ["tasks.csv", "steps.csv", "queries.csv", "record.json"]}


class RecordError(MeganError):
    """A record cannot be made, or is not what it was; the message says what to do."""


def record(params: Params, variants: list[str], weights_mib: float) -> Path:
    """Copy the current study's finished results to `results/record/<study>/`, with a digest of each file.

    **Arguments** `variants`: of these alone the training curves and the tests, where the study
    was never meant to have all variants; `weights_mib`: the best seed of `maml` and `n_plus_1`
    by validation accuracy goes along, if that takes no more.
    **Raises** `MeganError`, before anything is written, when a stage is missing or out of date, or
    a result is not what its record describes.
    """
    study = params.study
    lock = _up_to_date(params, variants)
    addresses = [f"{stage}@{name}" for name in variants or params.variants for stage in ("train", "test")]
    chosen = {address: OF_VARIANTS if variants else ALONE for address in addresses}
    if not variants:
        chosen = {"encoder": ALONE, "judge": ALONE, "gan": ALONE, "samples": ALONE, **chosen}
    sources = [path for address, kept in chosen.items() for path in _kept(params, address, kept)]
    if not variants:
        wholes = (paths.tables(study), paths.claims(study), paths.figures(study), paths.metrics(study), paths.report(study))
        sources += [file for path in wholes for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file() and not file.name.startswith(".")]
    weights = _best_weights(params, [name for name in BEST if name in (variants or params.variants)], weights_mib)
    target = paths.RECORD / study
    with storage.replacing_folder(target) as folder:
        for source in dict.fromkeys([*sources, *_away(study)]):
            copy = folder / source.relative_to(paths.results(study))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
        for name, content in weights.items():
            (folder / "weights").mkdir(exist_ok=True)
            (folder / "weights" / f"{name}.safetensors").write_bytes(content)
        (folder / "params.yaml").write_text(yaml.safe_dump(_resolved(params), sort_keys=False), encoding="utf-8")
        (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": lock}, sort_keys=False), encoding="utf-8")
        manifest = {"study": study, "variants": list(variants or params.variants), "whole": not variants, "commit": provenance.commit()}
        storage.write_json(folder / MANIFEST, {**manifest, "files": _digests(folder)})
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
            raise RecordError(f"{folder / name} is {state}, by {MANIFEST}; restore the record from git, or run: python -m megan record")
    return manifest


def _up_to_date(params: Params, variants: list[str]) -> dict[str, Any]:
    """The entries of `dvc.lock` that the record rests on, none of them stale."""
    targets = [f"{stage}@{name}" for name in variants for stage in ("train", "test")]
    for name in variants:
        params.variant(name)
    tracking.check_current(targets, "run: dvc repro")
    return {address: entry for address, entry in tracking.locked().items() if (address in targets if targets else _of_study(params, address, entry))}


def _of_study(params: Params, address: str, entry: dict[str, Any]) -> bool:
    # A variant or study that has left params.yaml leaves its entry in the lock.
    variant = address.partition("@")[2] if address.startswith(("train@", "test@")) else ""
    return (not variant or variant in params.variants) and all(params.study in Path(out["path"]).parts for out in entry["outs"])


def _kept(params: Params, address: str, kept: dict[str, list[str]]) -> Iterable[Path]:
    """The files to copy of one result, after checking it whole."""
    folder = outcome.folder(params.study, address)
    found = work.read_record(folder, address)
    outcome.check(params, address, found)
    told = outcome.provenance(params.study, address)
    wanted = [folder / name for name in kept[address.partition("@")[0]]]
    for path in (*wanted, told):
        if not path.is_file():
            raise RecordError(f"{path} is missing; run: dvc repro -f -s {address}")
    return [*wanted, told]


def _away(study: str) -> list[Path]:
    told = paths.provenance(study, "away")
    return [told] if told.is_file() else []


def _best_weights(params: Params, names: list[str], most_mib: float) -> dict[str, bytes]:
    """By variant, the weights of the seed that did best on validation tasks, without the seed axis."""
    if not most_mib:
        return {}
    import pandas
    from safetensors.numpy import load_file, save

    packed = {}
    for name in names:
        folder = paths.trained(params.study, name)
        told = work.read_record(folder, f"train@{name}")
        curve = pandas.read_csv(folder / "curve.csv").query("split == 'validation'")
        curve = curve[[str(seed) not in told["diverged"] for seed in curve["seed"]]]
        if curve.empty:
            continue
        best = curve.loc[curve["accuracy"].idxmax()]
        weights = {key: value[told["seeds"].index(int(best["seed"]))].copy() for key, value in load_file(folder / "weights.safetensors").items()}
        about = {"study": params.study, "variant": name, "seed": str(int(best["seed"])), "meta_step": str(int(best["meta_step"])), "validation_accuracy": repr(float(best["accuracy"]))}
        packed[name] = save(weights, about)
    size = sum(map(len, packed.values())) / bundle.MIB
    if size > most_mib:
        raise RecordError(f"the weights of {' and '.join(packed)} have {size:.1f} MiB: more than --weights {most_mib:g}; raise it, or leave it out")
    return packed


def _resolved(params: Params) -> dict[str, Any]:
    """The current study's parameters, every default filled in."""
    document = params.model_dump(mode="json")
    return {**document, "studies": {params.study: document["studies"][params.study]}}


def _digests(folder: Path) -> dict[str, str]:
    found = [path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST]
    return {path.relative_to(folder).as_posix(): storage.digest_file(path) for path in sorted(found)}


def run(params: Params, chosen: argparse.Namespace) -> None:
    """Run the sub-command `record` or `import` of the command line."""
    if chosen.stage == "record":
        target = record(params, chosen.variants, chosen.weights)
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        print(f"{target}: {size / bundle.MIB:.1f} MiB; commit it with git")
    else:
        print(f"committed to DVC: {', '.join(importing.bring(params, chosen.archives))}")
