"""Stage `download`: the public files of the study's data sets, or a manifest of an embedded one.

A data set is one module with its `SOURCES`, and one line in the registry below.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from megan.config import machine
from megan.data import fashion_mnist, fetch, glyphs, omniglot
from megan.errors import DataError
from megan.runs import storage
from megan.runs.job import Job

SOURCES: dict[str, tuple[fetch.Source, ...]] = {"omniglot": omniglot.SOURCES, "fashion_mnist": fashion_mnist.SOURCES}
MANIFESTS: dict[str, Callable[[], dict]] = {"glyphs": glyphs.manifest}  # embedded: nothing to fetch


def run(job: Job) -> None:
    """Fill the study's raw folder with the files of its data sets, the plain GAN's among them.

    An archive is fetched into `data/downloads` first, where a later run and other studies
    find it, and then copied. A copy, not a hard link: DVC may link its cache to the raw
    file, and a file put into the downloads by hand would then overwrite the cache.

    **Raises** `DataError`, one message with what is missing and where it may be put.
    """
    wanted = dict.fromkeys((job.settings.data.dataset, job.settings.gan.dataset))
    try:
        with storage.replacing_folder(job.folder) as folder:
            for dataset in wanted:
                _fill(folder, dataset)
    except OSError as error:
        raise DataError(
            f"{' and '.join(wanted)} cannot be stored in {job.folder}: {error}; free some space or mend the"
            " folder, and run again"
        ) from None


def _fill(folder: Path, dataset: str) -> None:
    if dataset in MANIFESTS:
        storage.write_json(folder / "manifest.json", MANIFESTS[dataset]())
        return
    for source in SOURCES[dataset]:
        path = _fetched(source, dataset)
        shutil.copyfile(path, folder / path.name)


def _fetched(source: fetch.Source, dataset: str) -> Path:
    try:
        return fetch.fetch(source, machine.mirror())
    except DataError as error:
        names = [other.name for other in SOURCES[dataset]]
        files = " and ".join(name.rpartition("/")[2] for name in names)
        raise DataError(
            f"{error}. Data set {dataset!r} needs {files}: put them into {fetch.target(source).parent}/,"
            f" or set MEGAN_MIRROR to a folder or web address that holds {' and '.join(names)}, and run again"
        ) from None
