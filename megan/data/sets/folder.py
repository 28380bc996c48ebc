"""Your own images: a folder of class folders, `data.folder`, with files of any kind and size that Pillow reads.

Either the folder holds the classes, which protocol `parts` divides by a fixed rule, or it holds the folders
`train`, `validation` and `test`, and these hold the classes.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from megan.config.schema import Data
from megan.data import dataset
from megan.data.dataset import SPLITS, Alphabets, Characters, DataSet
from megan.data.image_files import PICKLES, content, decode, digest, is_hidden, suffixes
from megan.errors import DataError
from megan.runs import progress, storage

WHOLE = "all"  # the one part of a folder that is not divided

Files = dict[str, dict[str, list[Path]]]  # images by part and class, all sorted


def files(data: Data) -> Files:
    """The images of the folder.

    **Raises** `DataError` that names a folder or file that does not fit, `NotHereError` where there is no folder.
    """
    folder = Path(data.folder)
    if not data.folder or not folder.is_dir():
        raise dataset.NotHereError(
            f"data.folder = {data.folder!r}: expected a folder with a folder of images for each class; name yours in"
            " params.yaml"
        )
    inside = _folders(folder)
    divided = [path for path in inside if path.name in SPLITS]
    if divided and {path.name for path in inside} != set(SPLITS):
        other = ", ".join(sorted({path.name for path in inside} ^ set(SPLITS))[:3])
        raise DataError(
            f"{folder} has a folder {divided[0].name}: expected {', '.join(SPLITS)} and no other, or class folders"
            f" alone; see to {other}"
        )
    parts = {path.name: _folders(path) for path in divided} if divided else {WHOLE: inside}
    found = {part: {path.name: _images(path) for path in parts[part]} for part in (SPLITS if divided else parts)}
    names = [name for classes in found.values() for name in classes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{folder}: class {twice[0]} stands in two of {', '.join(SPLITS)}: expected each class in one")
    if empty := [part for part, classes in found.items() if not classes]:
        raise DataError(f"{folder if empty == [WHOLE] else folder / empty[0]} has no class folders")
    return found


def _folders(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if not is_hidden(path))
    if loose := [path for path in paths if not path.is_dir()]:
        raise DataError(f"{loose[0]} is a file: expected folders alone here, with images in them; move it away")
    return paths


def _images(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if not is_hidden(path))
    for path in paths:
        if path.suffix.lower() in PICKLES:
            raise DataError(f"{path} is a pickle, and reading one can run any code in it; save its images as files")
        if not path.is_file() or path.suffix.lower() not in suffixes():
            raise DataError(f"{path}: expected image files alone in a class folder, of a kind that Pillow reads")
    if not paths:
        raise DataError(f"{folder} is empty: expected the images of a class")
    return paths


def alphabets(data: Data) -> dict[str, Alphabets]:
    """The classes of each part, all of one alphabet."""
    return {part: {part: list(classes)} for part, classes in files(data).items()}


def fewest(data: Data) -> int:
    """Images of the class that has the fewest."""
    return min(len(paths) for classes in files(data).values() for paths in classes.values())


def manifest(data: Data) -> dict:
    """The folder, and the digest of each image by its name below the folder."""
    return {
        "folder": data.folder,
        "images": {
            path.relative_to(data.folder).as_posix(): digest(content(path))
            for classes in files(data).values()
            for paths in classes.values()
            for path in paths
        },
    }


def read(raw: Path, data: Data) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Decode the images, of each part uint8 `[classes, images, side, side]`, or `[..., 3]` in colour.

    Each class of a part gives as many as the smallest one has, the first in an order that depends on names alone.

    **Raises** `DataError` for an image that is damaged, or another than stage `download` saw.
    """
    found, known = files(data), _manifest(raw)
    images = {}
    for part, classes in found.items():
        sizes = {name: len(paths) for name, paths in classes.items()}
        smallest = min(sizes, key=lambda name: sizes[name])
        count = sizes[smallest]
        if max(sizes.values()) > count:
            progress.say(
                f"{data.folder}: classes have {count} to {max(sizes.values())} images; {count} of each are taken, as"
                f" many as {smallest} has"
            )
        blocks = []
        for paths in classes.values():
            for path in sorted(paths, key=_order)[:count]:
                encoded = content(path)
                if known.get(path.relative_to(data.folder).as_posix()) != digest(encoded):
                    raise DataError(f"{path} is new or has changed; run `python -m megan download`")
                blocks.append(decode(encoded, str(path), data.side, data.channels))
        images[part] = np.stack(blocks).reshape(len(classes), count, *blocks[0].shape)
    return images, {"images": storage.digest(known)}


def _order(path: Path) -> bytes:
    return hashlib.sha256(path.name.encode()).digest()


def _manifest(raw: Path) -> dict[str, str]:
    path = dataset.manifest_path(raw, "folder")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["images"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error}); run `python -m megan download`") from None


DATA_SET = DataSet(
    title="own images",
    manifest=manifest,
    characters=Characters(alphabets=alphabets, read=read, images=fewest, takes_folder=True, ink=False),
)
