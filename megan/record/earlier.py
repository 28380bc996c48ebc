"""The variants of a study's present record that have not been run here.

A study can be run on several machines that share no disk, or after the results of a machine were lost: `record
--finished` on each adds what was run there, and keeps what the record has. It keeps a variant only if parameters, code,
data, encoder and judge here are those that made it, so that all rows of a record belong together.
"""

import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from megan.config import paths
from megan.config.params import Params
from megan.record import check, manifest
from megan.record.manifest import RecordError
from megan.runs import result
from megan.stages import registry
from megan.stages.registry import Stage

OF_A_VARIANT = ("train", "test")


@dataclass(frozen=True)
class Earlier:
    """What is kept of the record in `folder`.

    `variants`: their names, in the order of `params.yaml`; `lock`: DVC's entries of their stages; `weights`: what the
    manifest says of theirs.
    """

    folder: Path
    variants: tuple[str, ...] = ()
    lock: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Any] = field(default_factory=dict)

    def files(self) -> dict[str, Path]:
        """The files of these variants alone, by name: records, accuracy by queries, provenance, parameters, weights."""
        patterns = ["{0}/{1}/*", "provenance/{0}-{1}.json", "config/{0}-{1}.yaml", "weights/{1}.safetensors"]
        asked = (one.format(stage, name) for name in self.variants for stage in OF_A_VARIANT for one in patterns)
        found = {path for pattern in asked for path in self.folder.glob(pattern)}
        return {path.relative_to(self.folder).as_posix(): path for path in sorted(found)}

    def lay_out(self, results: Path) -> None:
        """Copy these files to a folder of results."""
        for name, path in self.files().items():
            (results / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, results / name)


def read(params: Params, stages: dict[str, Stage], done: Collection[str]) -> Earlier:
    """What the present record has beyond the stages that are `done` here.

    **Raises** `RecordError` if the record is damaged; if one of its variants was made with other parameters, code or
    inputs than those here, or is not in its `dvc.lock`; or if it holds another stage that was not run here, as the
    plain GAN.
    """
    folder = paths.RECORD / params.study
    if not folder.is_dir():
        return Earlier(folder)
    otherwise = f"or remove {folder}, and with it all that has no result here"
    try:
        listed, lock = manifest.verify(folder), check.kept_lock(folder)
    except RecordError as error:
        raise RecordError(f"{str(error).partition(';')[0]}; restore the record from git, {otherwise}") from None
    recorded = [name for name in params.variants if (folder / "test" / name / result.RECORD).is_file()]
    names = tuple(name for name in recorded if not tested(name, done))
    digests = registry.Digests(params)
    own = [stages[f"{stage}@{name}"] for name in names for stage in OF_A_VARIANT]
    for stage in own:
        if stage.address not in lock:
            raise RecordError(f"{folder / 'dvc.lock'} has no stage {stage.address}, so it cannot be kept; {otherwise}")
        if differs := _differs(params, stage, folder, digests):
            raise RecordError(
                f"{folder} has {stage.address}, which has no result here, and it cannot be kept: {differs}; run: dvc"
                f" repro {stage.target}, {otherwise} (see docs/record.md)"
            )
    kept = {stage.address for stage in own}
    if lost := [address for address in lock if address in stages and _is_lost(stages[address], {*done, *kept})]:
        raise RecordError(
            f"{folder} has {', '.join(lost)}, which has no result here, and cannot be kept; run: dvc repro"
            f" {' '.join(stages[address].target for address in lost)}, {otherwise}"
        )
    return Earlier(
        folder,
        names,
        {address: entry for address, entry in lock.items() if address in kept},
        {name: about for name, about in listed["weights"].items() if name in names},
    )


def tested(name: str, done: Collection[str]) -> bool:
    return {f"{stage}@{name}" for stage in OF_A_VARIANT} <= set(done)


def _is_lost(stage: Stage, known: Collection[str]) -> bool:
    """Whether the record would lose the result of a long run. What follows the samples is computed anew."""
    return stage.name in (*check.FROZEN, "search") and stage.name != "samples" and stage.address not in known


def _differs(params: Params, stage: Stage, folder: Path, digests: registry.Digests) -> str:
    """Why the recorded result of a stage does not belong to parameters, code and inputs here, or ""."""
    home = paths.results(params.study)
    made = result.load(folder / stage.folder.relative_to(home))
    if changed := check.changed(params, stage, made):
        return changed
    trained = paths.trained(params.study, stage.item)
    for path, digest in made.get("inputs", {}).items():
        place = folder / trained.relative_to(home) if Path(path) == trained else Path(path)
        if digests.of(place.as_posix()) != digest:
            return f"it was made from another version of {path}"
    return ""
