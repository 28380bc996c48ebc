"""What travels between the machine that prepares data, the one that computes, and home: archives of files with digests."""

import json
from pathlib import Path

from away_plan import KNOWN, Job, Plan

from megan import paths, provenance, storage
from megan.errors import MeganError
from megan.records import bundle, outcome


def read(path: Path, default: object) -> object:
    """The JSON in a file, or `default` where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else default


def pack_data(plan: Plan, out: Path, limit: int) -> list[Path]:
    """What the jobs read: the packed images of each study, and the raw data where the plain GAN needs them."""
    groups: bundle.Groups = {}
    for study in plan.params:
        folders = [paths.prepared(study)]
        if Job(study, "gan") in plan.jobs:
            folders.append(paths.raw(study))
        for folder in folders:
            if not folder.is_dir():
                raise MeganError(f"{folder} is not here; set study: {study} in params.yaml and run: dvc repro prepare")
        groups[f"data:{study}"] = {path.as_posix(): path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()}
    note = {"commit": provenance.commit(), "sources": outcome.sources()}
    archives, _ = bundle.pack(out, "data", groups, note, limit)
    return archives


def take(plan_folder: Path, sources: list[Path]) -> None:
    """Unpack data, unfinished states and what was handed over; what is already here stays as it is."""
    brought = bundle.read(sources)
    for note in brought.notes:
        if "commit" in note:
            storage.write_json(plan_folder / "origin.json", {"commit": note["commit"], "sources": note["sources"]})
        if len(note.get("pieces", [])) > len(read(plan_folder / "pieces.json", [])):
            storage.write_json(plan_folder / "pieces.json", note["pieces"])
    for group, files in brought.groups.items():
        kind, study = group.split(":")[:2]
        allowed = {"data": ("data/",), "state": (".resume/",), "known": (f"{KNOWN}/",), "needed": ("results/",), "result": ("results/",)}.get(kind)
        if not allowed or not study.replace("_", "").isalnum():
            raise MeganError(f"{group!r} is nothing that this script packs; take archives of its own")
        for name, content in files.items():
            if not name.startswith(allowed):
                raise MeganError(f"{group}: {name} has no place here: expected {allowed[0]}...")
            path = plan_folder / study / name
            if kind == "data" or not path.exists():
                with storage.replacing(path) as temporary:
                    temporary.write_bytes(content)


def pack(plan: Plan, out: Path, limit: int, most: int | None, again: bool) -> list[Path]:
    """Finished results that no earlier call has packed, and what a next, bare machine needs to go on."""
    handed_over = set() if again else set(read(plan.work / "packed.json", []))
    pieces = read(plan.work / "pieces.json", [])
    note = {"sources": outcome.sources(), "pieces": pieces, **({"commit": origin["commit"]} if (origin := read(plan.work / "origin.json", {})) else {})}
    number = f"{len(pieces):03}"
    written, _ = bundle.pack(out, f"resume-{number}", _to_go_on(plan), note, limit)
    ready = [job for job in plan.jobs if job in plan.done and plan.is_here(job) and str(job) not in handed_over]
    packed: list[str] = []
    for study in plan.params:  # apart, since one study at a time is imported
        groups = {f"result:{job}": _files(plan, job) for job in ready if job.study == study}
        room = None if most is None else most - len(written) - 1
        if room is None or room > 0:
            archives, names = bundle.pack(out, f"results-{number}-{study}", groups, note, limit, room)
            written, packed = written + archives, packed + names
    handed_over |= {name.partition(":")[2] for name in packed}
    known = {f"known:{job}": _record(plan, job) for job in plan.jobs if job in plan.done and (str(job) in handed_over or not plan.is_here(job))}
    told, _ = bundle.pack(out, f"known-{number}", known, note, limit)
    storage.write_json(plan.work / "packed.json", sorted(handed_over))
    waiting = len(ready) - len(packed)
    print(f"packed {len(packed)} results" + (f"; {waiting} more wait for the next call, for want of room" if waiting else ""))
    return written + told


def _files(plan: Plan, job: Job) -> dict[str, Path]:
    with plan.inside(job.study):
        return {name: plan.work / job.study / path for name, path in outcome.files(job.study, job.address).items()}


def _record(plan: Plan, job: Job) -> dict[str, Path]:
    """The record and provenance of a result, under which another machine knows it for finished."""
    tree, names = plan.work / job.study, {name: (KNOWN / job.address / name).as_posix() for name in ("record.json", "provenance.json")}
    if not plan.is_here(job):
        return {name: tree / name for name in names.values()}
    made = tree / outcome.folder(job.study, job.address) / "record.json", tree / outcome.provenance(job.study, job.address)
    return dict(zip(names.values(), made, strict=True))


def _to_go_on(plan: Plan) -> dict[str, dict[str, Path]]:
    """States of unfinished trainings, and the results that unfinished jobs read.

    The encoders' states are left out: at 130 MB they take longer to carry than to make again.
    """
    groups: dict[str, dict[str, Path]] = {}
    for job in plan.jobs:
        if job in plan.done:
            continue
        tree, path = plan.work / job.study, plan.state(job)
        if path and job.stage == "train":
            groups[f"state:{job}"] = {file.relative_to(tree).as_posix(): file for file in sorted((tree / path.parent).iterdir()) if not file.name.startswith(".")}
        needed = [Job(job.study, "encoder")] if job.variant and plan.encodes(job) else []
        needed += [Job(job.study, f"train@{job.variant}")] if job.stage == "test" else []
        groups |= {f"needed:{other}": _files(plan, other) for other in needed if other in plan.done and plan.is_here(other)}
    return groups
