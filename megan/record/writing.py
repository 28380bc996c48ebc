"""Copies the results of a study to its record."""

import json
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from megan.config import paths
from megan.config.params import Params
from megan.record import commands, earlier, manifest, pages, partial, pictures, weights
from megan.record.manifest import RecordError
from megan.runs import provenance, result, storage
from megan.stages import registry
from megan.stages.registry import Stage

OF_VARIANTS = (result.RECORD, "queries.csv")
LEFT = (".safetensors", ".svg")  # not copied: raw tensors; figures are copied as PNG, and the page contains them as SVG


def make(params: Params, weights_mib: float = 0, finished: bool = False) -> Path:
    """Copy the current study's results, with a digest of each file.

    **Arguments** `weights_mib`: if not 0, also copy the weights of the seed of `maml` and of `n_plus_1`
    with the best validation accuracy. This is their largest allowed size. `finished`: leave out the stages that are
    not up to date, and compute tables, claims, figures and page from the variants that have been tested. Variants that
    the present record has and that were not run here are kept, see `earlier`; the manifest lists them under `kept`.
    Under `not_run` it lists what is left; if there is anything, the record is provisional.
    **Raises** `MeganError`, before anything is written, if a stage is out of date for DVC, a result does not match
    its record, what the present record has cannot be kept, nothing of the study was run, or the record would be too
    large.
    """
    storage.restore(paths.RECORD / params.study)
    stages = registry.stages(params)
    done = partial.finished(params, stages, _locked(params.study)) if finished else _complete(params.study, stages)
    kept = earlier.read(params, stages, done) if finished else earlier.Earlier(paths.RECORD / params.study)
    known = {**done, **kept.lock}
    computed = partial.needed(params, stages, known) if finished else {}
    lock = {address: known[address] for address in stages if address in known and address not in computed}
    if computed:  # a training without its test is in no table
        lock = {address: entry for address, entry in lock.items() if _has_test(stages[address], lock)}
    if not lock:
        raise RecordError(
            f"nothing of study {params.study!r} stands in {_pipeline(params.study).with_name('dvc.lock')}; run:"
            f" dvc repro {_pipeline(params.study)}"
        )
    with ExitStack() as scratch:
        scratch.callback(pages.remove_unused)
        here = [address for address in lock if address not in kept.lock]
        sources = kept.files() | _sources(params, [stages[address] for address in here])
        waiting = partial.waiting(params, lock) if computed else ()
        if computed:
            home = scratch.enter_context(partial.results(params, computed, here, kept))
            sources |= _sources(params.without(waiting), computed.values(), home)
        if finished:  # `config` may be stale although the parameters of what stands are not
            sources |= _named(params, [stages[address].config for address in here if stages[address].config.is_file()])
        if finished and not computed:
            sources |= _named(params, [paths.trained(params.study, name) / "curve.csv" for name in _trained(here)])
        best = weights.best(params, weights_mib, _trained(here)) if weights_mib else {}
        with storage.replacing_folder(paths.RECORD / params.study) as folder:
            for name, source in sources.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, folder / name)
            if samples := sources.get(f"samples/{result.RECORD}"):
                pictures.write(samples.parent, folder / "samples")
            if pages.NAME in sources:
                pages.lighten(folder / pages.NAME)
            for variant, one in best.items():
                (folder / "weights").mkdir(exist_ok=True)
                (folder / "weights" / f"{variant}.safetensors").write_bytes(one.packed)
            _write_yaml(folder / "params.yaml", _resolved(params))
            _write_yaml(folder / "dvc.lock", {"schema": "2.0", "stages": lock})
            content = {
                "study": params.study,
                "provisional": bool(waiting),
                "not_run": list(waiting),
                "variants": _trained(lock),
                "kept": list(kept.variants),
                "weights": kept.weights | {variant: one.about for variant, one in best.items()},
                "commit": provenance.commit(),
                "files": manifest.digests(folder),
            }
            storage.write_json(folder / manifest.NAME, content)
            manifest.check_room(folder, params.study)
    return paths.RECORD / params.study


def _has_test(stage: Stage, known: Collection[str]) -> bool:
    return stage.name != "train" or f"test@{stage.item}" in known


def _trained(lock: Iterable[str]) -> list[str]:
    return [address.partition("@")[2] for address in lock if address.startswith("train@")]


def _sources(params: Params, stages: Iterable[Stage], home: Path = Path()) -> dict[str, Path]:
    """The files of some stages by their name in the record, with the provenance. `home`: where `results/` lies."""
    files = [file for stage in stages for file in _kept(params, stage, home)]
    return _named(params, files, home)


def _named(params: Params, files: list[Path], home: Path = Path()) -> dict[str, Path]:
    return {file.relative_to(home / paths.results(params.study)).as_posix(): file for file in files}


def _kept(params: Params, stage: Stage, home: Path) -> Iterator[Path]:
    """The files of a stage that a record contains, after verifying the result.

    For meta-training and meta-test these are only `OF_VARIANTS` and the provenance, because the tables hold the rest.
    """
    if stage.keeps_record:
        result.verified(home / stage.folder, stage.address)
    for output in map(Path, stage.outputs):
        if output.parts[0] != "results":
            continue
        if stage.item in params.variants and output == stage.folder:
            yield from (path for path in (home / output / name for name in OF_VARIANTS) if path.is_file())
            continue
        files = sorted((home / output).rglob("*")) if (home / output).is_dir() else [home / output]
        yield from (file for file in files if file.suffix not in LEFT and file.is_file() and file.name[0] != ".")


def _locked(study: str) -> dict[str, Any]:
    """The entries of the study's `dvc.lock`."""
    path = _pipeline(study).with_name("dvc.lock")
    if not path.is_file():
        raise RecordError(f"{path} is missing, so nothing of study {study!r} has been run; run: dvc repro")
    return yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]


def _complete(study: str, stages: dict[str, Stage]) -> dict[str, Any]:
    """The entries of the lock for the study's stages. Raises `RecordError` if one is stale for DVC."""
    pipeline = _pipeline(study)
    for address, changes in json.loads(commands.dvc("status", "--json", str(pipeline)) or "{}").items():
        told = " ".join(json.dumps(changes).split())
        raise RecordError(
            f"{address} is not up to date ({told:.300}); run: dvc repro {pipeline}, or copy what is finished:"
            " python -m megan record --finished"
        )
    return {address: entry for address, entry in _locked(study).items() if address in stages}


def _pipeline(study: str) -> Path:
    return Path(paths.pipeline(study).removesuffix(":") or "dvc.yaml")


def _resolved(params: Params) -> dict[str, Any]:
    """The parameters of the current study, with all defaults filled in."""
    document = params.model_dump(mode="json", exclude={"variants_by_study", "waiting"})
    return {**document, "studies": {params.study: document["studies"][params.study]}}


def _write_yaml(path: Path, content: Any) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
