"""Whether the data sets can make what a study asks for, and how a study splits them.

This module imports little, because the command line uses it to check a study before anything
runs. Stage `prepare` writes the split of the same function.
"""

import hashlib
from collections.abc import Iterable, Mapping

from megan.config import names, params
from megan.config.params import ParamsError
from megan.data import dataset
from megan.data.dataset import Alphabets

SPLITS = ("train", "validation", "test")


def characters(study_name: str, data: params.Data) -> dataset.Characters:
    """The study's data set. Raises `ParamsError` for one that no few-shot task can be made of."""
    found = dataset.load(data.dataset).characters
    if found is None:
        raise ParamsError(
            f"params.yaml: studies.{study_name}.data.dataset = {data.dataset!r}: it has no alphabets to make tasks of;"
            f" expected one of: {_able('characters')}"
        )
    return found


def _able(ability: str) -> str:
    return ", ".join(name for name in names.modules("data/sets") if getattr(dataset.load(name), ability))


def split(study_name: str, data: params.Data, tasks: params.Tasks) -> dict[str, Alphabets]:
    """The characters of meta-training, validation and meta-test, by alphabet, all sorted.

    Protocol `alphabet` uses the data set's own parts, and takes validation from the
    alphabets of meta-training. Protocol `standard` pools all characters, as in Vinyals et
    al. (2016) and Finn et al. (2017).

    **Raises** `ParamsError`, which names the key, if the data set has too few characters for the study.
    """
    where = f"params.yaml: studies.{study_name}"
    make = _by_alphabet if data.protocol == "alphabet" else _pooled
    splits = make(where, data, tasks, characters(study_name, data).alphabets())
    for name, chosen in splits.items():
        sizes = [len(characters) for characters in chosen.values()]
        if tasks.scope == "alphabet" and tasks.ways > max(sizes):
            raise ParamsError(
                f"{where}.tasks.ways = {tasks.ways}: expected at most {max(sizes)},"
                f" the characters of the largest alphabet of the {name} split; lower it or set scope to 'any'"
            )
        if tasks.scope == "any" and tasks.ways > sum(sizes):
            raise ParamsError(
                f"{where}.tasks.ways = {tasks.ways}: expected at most the {sum(sizes)} characters of the {name} split"
            )
    return splits


def check(study_name: str, study: params.Study, variants: Mapping[str, params.Variant]) -> None:
    """Raise `ParamsError` for a study, or a variant in it, that its data sets cannot make."""
    where = f"params.yaml: studies.{study_name}"
    if study.data.rotations and not characters(study_name, study.data).rotations:
        raise ParamsError(
            f"{where}.data.rotations = true: expected false for {study.data.dataset!r}, in which some characters"
            " are rotations of others"
        )
    if dataset.load(study.gan.dataset).by_class is None:
        raise ParamsError(
            f"{where}.gan.dataset = {study.gan.dataset!r}: it has no images by class for the plain GAN; expected"
            f" one of: {_able('by_class')}"
        )
    for part, chosen in split(study_name, study.data, study.tasks).items():
        sizes = [len(characters) for characters in chosen.values()]
        most = max(sizes) if study.tasks.scope == "alphabet" else sum(sizes)
        for name, variant in variants.items():
            if variant.takes_others and 2 * study.tasks.ways > most:
                raise ParamsError(
                    f"params.yaml: variants.{name}.fake_source = 'alphabet': its tasks need twice"
                    f" studies.{study_name}.tasks.ways = {study.tasks.ways} characters, and the {part} split has"
                    f" {most} at most; lower tasks.ways or remove the variant"
                )


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    # By digest, not by a random generator, so that the order does not depend on a library's version.
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())


def _by_alphabet(
    where: str, data: params.Data, tasks: params.Tasks, parts: dict[str, Alphabets]
) -> dict[str, Alphabets]:
    background = parts["background"]
    if data.validation_alphabets >= len(background):
        raise ParamsError(
            f"{where}.data.validation_alphabets = {data.validation_alphabets}: expected fewer than the"
            f" {len(background)} meta-training alphabets of {data.dataset}"
        )
    large = [name for name, characters in background.items() if len(characters) >= tasks.ways]
    if data.validation_alphabets > len(large):
        raise ParamsError(
            f"{where}.data.validation_alphabets = {data.validation_alphabets}: expected at most {len(large)},"
            f" the meta-training alphabets of {data.dataset} with {tasks.ways} characters (tasks.ways) or more"
        )
    held = set(_shuffled(large, data.split_seed)[: data.validation_alphabets])
    return {
        "train": {name: characters for name, characters in background.items() if name not in held},
        "validation": {name: characters for name, characters in background.items() if name in held},
        "test": parts["evaluation"],
    }


def _pooled(where: str, data: params.Data, tasks: params.Tasks, parts: dict[str, Alphabets]) -> dict[str, Alphabets]:
    pool = [
        f"{name}/{character}"
        for part in parts.values()
        for name, characters in part.items()
        for character in characters
    ]
    if data.train_characters >= len(pool):
        raise ParamsError(
            f"{where}.data.train_characters = {data.train_characters}:"
            f" expected fewer than the {len(pool)} characters of {data.dataset}"
        )
    order = _shuffled(pool, data.split_seed)
    bounds = (0, data.train_characters - data.validation_characters, data.train_characters, len(pool))
    splits: dict[str, Alphabets] = {}
    for name, start, end in zip(SPLITS, bounds, bounds[1:], strict=False):
        splits[name] = {}
        for both in sorted(order[start:end]):
            alphabet, _, character = both.partition("/")
            splits[name].setdefault(alphabet, []).append(character)
    return splits
