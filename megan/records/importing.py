"""The way in for results that were made where neither dvc nor git is at hand: `python -m megan import`.

Takes the archives that `workflow/away.py` wrote, and has DVC commit exactly the stages whose
results came in them, so that `dvc repro` goes on from there.
"""

import shutil
from pathlib import Path
from typing import Any

from megan import paths, storage
from megan.errors import MeganError
from megan.meta import work
from megan.params import Params
from megan.records import bundle, outcome, tracking


class ImportRefused(MeganError):
    """An archive does not fit the working tree; nothing was placed. The message says what to do."""


def bring(params: Params, sources: list[Path]) -> list[str]:
    """Place the results that the archives hold, and commit their stages to DVC.

    Everything is verified first, in a folder of its own: the archives' digests, each result's
    record, and that parameters, source files and data are those of the working tree.

    **Returns** the addresses of the committed stages.
    **Raises** `MeganError`, one line, with nothing placed, for anything that does not fit.
    """
    brought = bundle.read(sources)
    results = {name: files for name, files in brought.groups.items() if name.startswith("result:")}
    if not results:
        raise ImportRefused(f"{', '.join(map(str, sources))}: no finished result in there; bring what `away.py run --pack` wrote")
    arrived = {_address(params, group): files for group, files in results.items()}
    staging = paths.RESUME / f"{params.study}-import"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        for address, files in arrived.items():
            _unpack(params.study, address, files, staging)
        _check(params, list(arrived), staging, brought.notes)
        for address in arrived:
            _place(params.study, address, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    pieces = max((note.get("pieces", []) for note in brought.notes), key=len)
    storage.write_json(paths.provenance(params.study, "away"), pieces)
    tracking.commit(list(arrived))
    tracking.check_current(list(arrived), "its files were placed; see: dvc status")
    return list(arrived)


def _address(params: Params, group: str) -> str:
    _, study, address = (*group.split(":"), "", "")[:3]
    if study != params.study:
        raise ImportRefused(f"{group} is of study {study!r}, params.yaml says {params.study!r}; set study: {study}, or bring the other archives alone")
    outcome.folder(study, address)
    if "@" in address:
        params.variant(address.partition("@")[2])
    return address


def _unpack(study: str, address: str, files: dict[str, bytes], staging: Path) -> None:
    """Write one result below `staging`, refusing any file that is not that result's."""
    home, told = outcome.folder(study, address), outcome.provenance(study, address)
    if told.as_posix() not in files:
        raise ImportRefused(f"{study}:{address}: {told} did not come with it; pack it again")
    for name, content in files.items():
        path = Path(name)
        if path.parent != home and path != told:
            raise ImportRefused(f"{study}:{address}: {name} has no place in it: expected files of {home}, and {told}")
        (staging / path).parent.mkdir(parents=True, exist_ok=True)
        (staging / path).write_bytes(content)


def _check(params: Params, addresses: list[str], staging: Path, notes: list[dict[str, Any]]) -> None:
    """Every arrived result against its record, the working tree, and what it rests on."""
    study = params.study
    records = {address: _record(study, address, staging) for address in addresses}
    arriving = {address: record["digest"] for address, record in records.items()}
    listed = tracking.listed_sources(params)
    for address, record in records.items():
        try:
            outcome.check(params, address, record, arriving)
        except (AttributeError, TypeError, ValueError) as error:
            raise ImportRefused(f"{study}:{address}: its record.json is none of ours ({error})") from None
        if "@" in address:  # DVC wants the encoder beside every training and test, whether they use it or not
            _input(study, address, "encoder", arriving)
        if address.startswith("test@"):
            training = address.replace("test@", "train@")
            if record.get("trained") != _input(study, address, training, arriving):
                raise ImportRefused(f"{study}:{address} is of another training than the {training} that is here; bring both")
        for name in listed[address]:
            if any(note.get("sources", {}).get(name) != storage.digest_file(Path(name)) for note in notes):
                raise ImportRefused(f"{study}:{address} was made by another {name} than stands here; take the code that made it, or make it anew")


def _record(study: str, address: str, staging: Path) -> dict[str, Any]:
    home = staging / outcome.folder(study, address)
    try:
        record = work.read_record(home, address)
    except work.StaleError as error:
        raise ImportRefused(f"{study}:{address}: {str(error).partition(';')[0]}; pack it again") from None
    if {path.name for path in home.iterdir()} != {*record["files"], "record.json"} or not isinstance(record.get("digest"), str):
        raise ImportRefused(f"{study}:{address} has other files than its record describes; pack it again")
    return record


def _input(study: str, address: str, needed: str, arriving: dict[str, str]) -> str:
    """The digest of a result that another one rests on, which comes with it or is here."""
    if needed in arriving:
        return arriving[needed]
    try:
        return work.read_record(outcome.folder(study, needed), needed)["digest"]
    except work.StaleError:
        raise ImportRefused(f"{study}:{address} rests on {needed}, which is neither in the archives nor here; bring it too") from None


def _place(study: str, address: str, staging: Path) -> None:
    home, told = outcome.folder(study, address), outcome.provenance(study, address)
    with storage.replacing_folder(home) as folder:
        for file in (staging / home).iterdir():
            shutil.copyfile(file, folder / file.name)
    with storage.replacing(told) as temporary:
        shutil.copyfile(staging / told, temporary)
