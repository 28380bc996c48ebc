"""Stage `download`: fetches the public files of the study's data sets, or writes a manifest of the embedded one.

A data set is one module with its `SOURCES`, and one entry in the dictionary below.
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
    """Fill the study's raw folder with the files of its data sets, also that of the plain GAN.

    An archive is fetched into `data/downloads`, where later runs and other studies find it, and
    then copied. It is not hard-linked, because DVC may link its cache to the raw file. A file
    placed into the downloads by hand would then overwrite the cache.

    **Raises** `DataError` with what is missing and where to put it.
    """
    wanted = dict.fromkeys((job.settings.data.dataset, job.settings.gan.dataset))
    try:
        with storage.replacing_folder(job.folder) as folder:
            for dataset in wanted:
                _fill(folder, dataset)
    except OSError as error:
        raise DataError(
            f"{' and '.join(wanted)} cannot be stored in {job.folder}: {error}; free some space or repair the"
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
