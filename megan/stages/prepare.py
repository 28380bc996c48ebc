"""Stage `prepare`: packs the raw data set into images of meta-training, validation and meta-test."""

from typing import Any

import numpy as np

from megan.config import paths
from megan.data import catalogue, dataset, near_identical, packed
from megan.data.dataset import Alphabets
from megan.errors import DataError
from megan.runs import progress, storage
from megan.runs.job import Job


def run(job: Job) -> None:
    """Write the study's `train`, `validation` (if it has one) and `test.safetensors`, and `splits.json`.

    **Raises** `ParamsError` for a split that is impossible with this data set, before anything is
    read, and `DataError` for raw data that is missing or wrong.
    """
    data = job.settings.data
    splits = catalogue.split(job.study, data, job.settings.tasks)
    source = catalogue.characters(job.study, data)
    images, digests = source.read(paths.raw(job.study), data)
    rows = _rows(images, source.alphabets(data), data.dataset)
    splits = {name: chosen for name, chosen in splits.items() if chosen}  # validation may have no characters
    cuts = {name: _cut(images, chosen, rows) for name, chosen in splits.items()}
    record: dict[str, Any] = {
        "dataset": data.dataset,
        "title": dataset.load(data.dataset).title,
        "protocol": data.protocol,
        "split_seed": data.split_seed,
        "side": data.side,
        "channels": data.channels,
        "ink": source.ink,
        "sources": digests,
        "splits": {
            name: {
                "alphabet_count": len(chosen),
                "character_count": sum(map(len, chosen.values())),
                "images_per_character": next(iter(cuts[name].values())).shape[1],
                "alphabets": chosen,
            }
            for name, chosen in splits.items()
        },
    }
    if not source.ink:  # drawings of different alphabets may well be nearly identical
        record["near_identical"] = near_identical.across(cuts, splits)
        _say_alike(record["near_identical"])
    try:
        with storage.replacing_folder(job.folder) as folder:
            for name, chosen in splits.items():
                packed.write(folder / paths.split(job.study, name).name, cuts[name], chosen)
            storage.write_json(folder / "splits.json", record)
    except OSError as error:
        raise DataError(f"{job.folder} cannot be written: {error}") from None


def _rows(images: dict[str, np.ndarray], parts: dict[str, Alphabets], name: str) -> dict[str, dict[str, int]]:
    """The row of each character in its alphabet's images."""
    rows = {}
    for part in parts.values():
        for alphabet, characters in part.items():
            if len(images[alphabet]) != len(characters):
                raise DataError(
                    f"{name}: {alphabet} has {len(images[alphabet])} characters with images: expected {len(characters)}"
                )
            rows[alphabet] = {character: row for row, character in enumerate(characters)}
    return rows


def _cut(images: dict[str, np.ndarray], chosen: Alphabets, rows: dict[str, dict[str, int]]) -> dict[str, np.ndarray]:
    """The images of the chosen characters. Whole alphabets are not copied: they may fill much of the memory."""
    cut = {}
    for alphabet, characters in chosen.items():
        taken = [rows[alphabet][one] for one in characters]
        block = images[alphabet]
        cut[alphabet] = block if taken == list(range(len(block))) else block[taken]
    return cut


def _say_alike(pairs: list[dict[str, str]]) -> None:
    if pairs:
        first = pairs[0]
        progress.say(
            f"prepare: {len(pairs)} pairs of images are nearly identical across splits, the first is"
            f" {first['one']} and {first['other']}; splits.json lists them"
        )
