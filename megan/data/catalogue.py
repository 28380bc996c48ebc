"""The alphabets and characters of each data set, and their split in a study.

This module imports little, because the command line uses it to check a study before anything
runs. Stage `prepare` writes the split of the same function.
"""

import hashlib
from collections.abc import Iterable, Mapping

from megan.config import params
from megan.config.params import ParamsError
from megan.data.scripts import SCRIPTS

# Characters of each alphabet of Omniglot, as published: 964 and 659.
OMNIGLOT = {
    "background": {
        "Alphabet_of_the_Magi": 20, "Anglo-Saxon_Futhorc": 29, "Arcadian": 26, "Armenian": 41,
        "Asomtavruli_(Georgian)": 40, "Balinese": 24, "Bengali": 46,
        "Blackfoot_(Canadian_Aboriginal_Syllabics)": 14, "Braille": 26, "Burmese_(Myanmar)": 34,
        "Cyrillic": 33, "Early_Aramaic": 22, "Futurama": 26, "Grantha": 43, "Greek": 24, "Gujarati": 48,
        "Hebrew": 22, "Inuktitut_(Canadian_Aboriginal_Syllabics)": 16, "Japanese_(hiragana)": 52,
        "Japanese_(katakana)": 47, "Korean": 40, "Latin": 26, "Malay_(Jawi_-_Arabic)": 40,
        "Mkhedruli_(Georgian)": 41, "N_Ko": 33, "Ojibwe_(Canadian_Aboriginal_Syllabics)": 14,
        "Sanskrit": 42, "Syriac_(Estrangelo)": 23, "Tagalog": 17, "Tifinagh": 55,
    },
    "evaluation": {
        "Angelic": 20, "Atemayar_Qelisayer": 26, "Atlantean": 26, "Aurek-Besh": 26, "Avesta": 26,
        "Ge_ez": 26, "Glagolitic": 45, "Gurmukhi": 45, "Kannada": 41, "Keble": 26, "Malayalam": 47,
        "Manipuri": 40, "Mongolian": 30, "Old_Church_Slavonic_(Cyrillic)": 45, "Oriya": 46,
        "Sylheti": 28, "Syriac_(Serto)": 23, "Tengwar": 25, "Tibetan": 42, "ULOG": 26,
    },
}  # fmt: skip

Alphabets = dict[str, list[str]]  # names of the characters of each alphabet
SPLITS = ("train", "validation", "test")


def alphabets(dataset: str) -> dict[str, Alphabets]:
    """Character names by part (`background`, `evaluation`) and alphabet, both sorted."""
    if dataset == "omniglot":
        return {
            part: {name: [f"character{number:02d}" for number in range(1, count + 1)] for name, count in counts.items()}
            for part, counts in OMNIGLOT.items()
        }
    parts: dict[str, Alphabets] = {"background": {}, "evaluation": {}}
    for name in sorted(SCRIPTS):
        parts[SCRIPTS[name].part][name] = [f"U+{ord(character):04X}" for character in SCRIPTS[name].characters]
    return parts


def split(study_name: str, data: params.Data, tasks: params.Tasks) -> dict[str, Alphabets]:
    """The characters of meta-training, validation and meta-test, by alphabet, all sorted.

    Protocol `alphabet` uses the data set's own parts, and takes validation from the
    alphabets of meta-training. Protocol `standard` pools all characters, as in Vinyals et
    al. (2016) and Finn et al. (2017).

    **Raises** `ParamsError`, which names the key, if the data set has too few characters for the study.
    """
    where = f"params.yaml: studies.{study_name}"
    make = _by_alphabet if data.protocol == "alphabet" else _pooled
    splits = make(where, data, tasks, alphabets(data.dataset))
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
    """Raise `ParamsError` if the data set has too few characters for the study or one of its variants."""
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
