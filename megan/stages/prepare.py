"""Stage `prepare`: packs the raw data set into images of meta-training, validation and meta-test."""

from megan.config import paths
from megan.config.params import DRAWERS
from megan.data import catalogue, packed
from megan.errors import DataError
from megan.runs import storage
from megan.runs.job import Job


def run(job: Job) -> None:
    """Write the study's `train`, `validation` and `test.safetensors`, and `splits.json`.

    **Raises** `ParamsError` for a split that is impossible with this data set, before anything is
    read, and `DataError` for raw data that is missing or wrong.
    """
    data = job.settings.data
    splits = catalogue.split(job.study, data, job.settings.tasks)
    source = catalogue.characters(job.study, data)
    images, digests = source.read(paths.raw(job.study))
    rows = {}  # of each character, in its alphabet's images
    for part in source.alphabets().values():
        for name, characters in part.items():
            if images[name].shape[:2] != (len(characters), DRAWERS):
                raise DataError(
                    f"{data.dataset}: {name} has {images[name].shape[:2]} drawings: expected"
                    f" {(len(characters), DRAWERS)}"
                )
            rows[name] = {character: row for row, character in enumerate(characters)}
    record = {
        "dataset": data.dataset,
        "protocol": data.protocol,
        "split_seed": data.split_seed,
        "sources": digests,
        "drawings_per_character": DRAWERS,
        "splits": {
            name: {
                "alphabet_count": len(chosen),
                "character_count": sum(map(len, chosen.values())),
                "alphabets": chosen,
            }
            for name, chosen in splits.items()
        },
    }
    try:
        with storage.replacing_folder(job.folder) as folder:
            for name, chosen in splits.items():
                cut = {
                    alphabet: images[alphabet][[rows[alphabet][one] for one in characters]]
                    for alphabet, characters in chosen.items()
                }
                packed.write(folder / paths.split(job.study, name).name, cut, chosen)
            storage.write_json(folder / "splits.json", record)
    except OSError as error:
        raise DataError(f"{job.folder} cannot be written: {error}") from None
