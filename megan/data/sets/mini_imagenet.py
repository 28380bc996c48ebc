"""mini-ImageNet: 100 classes of ImageNet, 600 colour photographs each, in the split of Ravi and Larochelle.

Vinyals et al. (2016) chose the kind of task, Ravi and Larochelle (2017), "Optimization as a model for few-shot
learning", these 64, 16 and 20 classes. ImageNet's terms allow research and education only, so there is no public
source to fetch it from: it is read from where you hold it.
"""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np

from megan.config import machine, paths
from megan.config.schema import Data
from megan.data import image_files
from megan.data.dataset import Alphabets, Characters, DataSet, manifest_path
from megan.errors import DataError
from megan.runs import storage

FOLDER = "mini-imagenet"  # below `data/downloads`, and below a mirror
COUNT = 600  # images of a class
LISTS = {"train": "train.csv", "validation": "val.csv", "test": "test.csv"}
HEADER = ["filename", "label"]
CSV_BYTES = 8 << 20  # no list is larger
SHOWN = 3  # names in a message

# As published: 64, 16 and 20 classes by their WordNet number.
CLASSES = {
    "train": (
        "n01532829 n01558993 n01704323 n01749939 n01770081 n01843383 n01910747 n02074367 n02089867 n02091831"
        " n02101006 n02105505 n02108089 n02108551 n02108915 n02111277 n02113712 n02120079 n02165456 n02457408"
        " n02606052 n02687172 n02747177 n02795169 n02823428 n02966193 n03017168 n03047690 n03062245 n03207743"
        " n03220513 n03337140 n03347037 n03400231 n03476684 n03527444 n03676483 n03838899 n03854065 n03888605"
        " n03908618 n03924679 n03998194 n04067472 n04243546 n04251144 n04258138 n04275548 n04296562 n04389033"
        " n04435653 n04443257 n04509417 n04515003 n04596742 n04604644 n04612504 n06794110 n07584110 n07697537"
        " n07747607 n09246464 n13054560 n13133613"
    ),
    "validation": (
        "n01855672 n02091244 n02114548 n02138441 n02174001 n02950826 n02971356 n02981792 n03075370 n03417042"
        " n03535780 n03584254 n03770439 n03773504 n03980874 n09256479"
    ),
    "test": (
        "n01930112 n01981276 n02099601 n02110063 n02110341 n02116738 n02129165 n02219486 n02443484 n02871525"
        " n03127925 n03146219 n03272010 n03544143 n03775546 n04146614 n04149813 n04418357 n04522168 n07613480"
    ),
}
NEEDED = (
    f"{', '.join(LISTS.values())} (columns {','.join(HEADER)}) and the images that they name, as files at any depth"
    " or in zip or tar archives beside them"
)


def alphabets(data: Data) -> dict[str, Alphabets]:
    """The classes of each part, all of one alphabet."""
    return {part: {part: names.split()} for part, names in CLASSES.items()}


def find(data: Data) -> Path:
    """The folder that holds it: `data.folder`, else below `data/downloads` or the mirror. Raises `DataError`."""
    if data.folder:
        places = [Path(data.folder)]
    else:
        mirror = machine.mirror()
        places = [paths.DOWNLOADS / FOLDER]
        places += [Path(mirror) / FOLDER] if mirror and "://" not in mirror else []
    for place in places:
        if (place / LISTS["train"]).is_file():
            return place
    _refuse_pickles(places)
    raise DataError(
        f"mini_imagenet: {LISTS['train']} is not in {' nor in '.join(map(str, places))}. Expected {NEEDED}; put them"
        f" into {paths.DOWNLOADS / FOLDER}/, or into {FOLDER}/ of the folder that MEGAN_MIRROR names, or name their"
        " folder in data.folder"
    )


def _refuse_pickles(places: list[Path]) -> None:
    for place in places:
        for path in sorted(place.glob("*")) if place.is_dir() else []:
            if path.suffix.lower() in image_files.PICKLES:
                raise DataError(
                    f"{path} is a pickle, and reading a pickle can run any code that its writer put there, so none is"
                    f" read. Expected {NEEDED}"
                )


def listed(folder: Path) -> dict[str, dict[str, str]]:
    """Of each part the label of each file name, in the order of its CSV.

    **Raises** `DataError` for a list that is not the published one.
    """
    found = {part: _list(folder / name, part) for part, name in LISTS.items()}
    names = Counter(name for labels in found.values() for name in labels)
    if twice := [name for name, count in names.items() if count > 1]:
        raise DataError(f"{folder}: the lists name {twice[0]} in two splits: expected each image in one")
    return found


def _list(path: Path, part: str) -> dict[str, str]:
    again = "expected the list that Ravi and Larochelle published"
    try:
        if path.stat().st_size > CSV_BYTES:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes: expected at most {CSV_BYTES:,}; {again}")
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except FileNotFoundError:
        raise DataError(f"{path} is not here; {again}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}; {again}") from None
    if not rows or rows[0] != HEADER or any(len(row) != len(HEADER) for row in rows):
        raise DataError(f"{path} has no two columns {','.join(HEADER)}; {again}")
    labels = {name: label for name, label in rows[1:]}
    counts = Counter(labels.values())
    expected = dict.fromkeys(CLASSES[part].split(), COUNT)
    if counts != expected:
        wrong = sorted(label for label in {*counts, *expected} if counts.get(label, 0) != expected.get(label, 0))
        told = ", ".join(f"{counts.get(one, 0)} of {one} ({expected.get(one, 0)})" for one in wrong[:SHOWN])
        raise DataError(
            f"{path} names other images than the {len(expected)} classes of {COUNT}: it has, with the expected number"
            f" in brackets, {told}{', ...' * (len(wrong) > SHOWN)}; {again}"
        )
    return labels


def manifest(data: Data) -> dict:
    """Where it lies, and a digest of its images, all of which must be there."""
    folder = find(data)
    labels = listed(folder)
    digests = {}
    wanted = {name for names in labels.values() for name in names}
    for name, content in image_files.below(folder, lambda name: name in wanted and name not in digests):
        digests[name] = image_files.digest(content)
    _check_all(folder, labels, set(digests))
    return {"folder": str(folder), "images": storage.digest(digests)}


def _check_all(folder: Path, labels: dict[str, dict[str, str]], found: set[str]) -> None:
    """Raise `DataError` that names the classes with images missing, and how many."""
    missing = [(name, label) for names in labels.values() for name, label in names.items() if name not in found]
    if missing:
        total = sum(map(len, labels.values()))
        counts = Counter(label for _, label in missing)
        told = ", ".join(f"{count} of {label}" for label, count in counts.most_common(SHOWN))
        raise DataError(
            f"{folder} lacks {len(missing):,} of the {total:,} images that its lists name: {told}"
            f"{', ...' * (len(counts) > SHOWN)}; the first is {missing[0][0]}. Put the images as files at any depth"
            " below this folder, or in zip or tar archives in it"
        )


def read(raw: Path, data: Data) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Decode all images, of each part uint8 `[classes, 600, side, side]`, or `[..., 3]` in colour.

    **Returns** them with the digest of all files.
    **Raises** `DataError` for an image that is missing, damaged, or another than stage `download` saw.
    """
    told = _manifest(raw)
    folder = Path(told["folder"])
    labels = listed(folder)
    shape = (COUNT, data.side, data.side) + (data.channels,) * (data.channels > 1)
    images = {part: np.zeros((len(names.split()), *shape), np.uint8) for part, names in CLASSES.items()}
    places = _places(labels)
    digests: dict[str, str] = {}
    problems = []
    for name, content in image_files.below(folder, lambda name: name in places and name not in digests):
        digests[name] = image_files.digest(content)
        part, row, number = places[name]
        try:
            images[part][row, number] = image_files.decode(content, name, data.side, data.channels)
        except DataError as error:
            problems.append(str(error))
    _check_all(folder, labels, set(digests))
    if problems:
        raise DataError(f"{folder}: {len(problems):,} images cannot be decoded; the first: {problems[0]}")
    digest = storage.digest(digests)
    if digest != told["images"]:
        raise DataError(f"{folder} holds other images than it did; run `python -m megan download`")
    return images, {"images": digest}


def _manifest(raw: Path) -> dict[str, str]:
    path = manifest_path(raw, "mini_imagenet")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {key: str(told[key]) for key in ("folder", "images")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error}); run `python -m megan download`") from None


def _places(labels: dict[str, dict[str, str]]) -> dict[str, tuple[str, int, int]]:
    """Part, row of the class, and number in the class of each file name."""
    places = {}
    for part, names in labels.items():
        rows = {label: row for row, label in enumerate(CLASSES[part].split())}
        seen: Counter[str] = Counter()
        for name, label in names.items():
            places[name] = part, rows[label], seen[label]
            seen[label] += 1
    return places


DATA_SET = DataSet(
    title="mini-ImageNet",
    manifest=manifest,
    characters=Characters(alphabets=alphabets, read=read, images=lambda data: COUNT, takes_folder=True, ink=False),
)
