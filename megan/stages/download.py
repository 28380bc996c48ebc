"""Stage `download`: gets the public files of the study's data sets, or writes a manifest of other sources.

`megan.data.sets` defines these. Also gets the weights of the encoder, if they were trained on ImageNet.
"""

import shutil
from pathlib import Path

from megan.config import machine
from megan.config.params import Data
from megan.data import dataset, fetch, imagenet
from megan.data.dataset import Source
from megan.errors import DataError
from megan.runs import storage
from megan.runs.job import Job


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
            for name in wanted:
                _fill(folder, name, job.settings.data)
            if job.settings.encoder.weights == "imagenet":
                asks = f"studies.{job.study}.encoder.weights = 'imagenet'"
                found = _fetched(imagenet.SOURCE, asks, (imagenet.SOURCE,))
                shutil.copyfile(found, imagenet.path(folder))
    except OSError as error:
        raise DataError(
            f"{' and '.join(wanted)} cannot be stored in {job.folder}: {error}; free some space or repair the"
            " folder, and run again"
        ) from None


def _fill(folder: Path, name: str, data: Data) -> None:
    found = dataset.load(name)
    if found.manifest:
        storage.write_json(dataset.manifest_path(folder, name), found.manifest(data))
    for source in found.sources:
        path = _fetched(source, f"Data set {name!r}", found.sources)
        shutil.copyfile(path, folder / path.name)


def _fetched(source: Source, asks: str, sources: tuple[Source, ...]) -> Path:
    try:
        return fetch.fetch(source, machine.mirror())
    except DataError as error:
        names = [other.name for other in sources]
        files = " and ".join(name.rpartition("/")[2] for name in names)
        raise DataError(
            f"{error}. {asks} needs {files}: put them into {fetch.target(source).parent}/,"
            f" or set MEGAN_MIRROR to a folder or web address that holds {' and '.join(names)}, and run again"
        ) from None
