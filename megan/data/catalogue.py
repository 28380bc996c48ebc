"""Whether the data sets can make what a study asks for, and how a study splits them.

This module imports little, because the command line uses it to check a study before anything
runs. Stage `prepare` writes the split of the same function.
"""

import hashlib
from collections.abc import Iterable, Mapping

from megan.config import names, params, paths
from megan.config.params import ParamsError
from megan.data import dataset
from megan.data.dataset import SPLITS, Alphabets

HELD_SHARE = 5  # protocol `parts` holds one class of so many for validation, and as many for meta-test


def characters(study_name: str, data: params.Data) -> dataset.Characters:
    """The study's data set. Raises `ParamsError` for one that no few-shot task can be made of."""
    found = dataset.load(data.dataset).characters
    if found is None:
        raise ParamsError(
            f"{paths.settings(study_name)}.data.dataset = {data.dataset!r}: it has no alphabets to make tasks of;"
            f" expected one of: {_able('characters')}"
        )
    return found


def _able(ability: str) -> str:
    return ", ".join(name for name in names.modules("data/sets") if getattr(dataset.load(name), ability))


def split(study_name: str, data: params.Data, tasks: params.Tasks) -> dict[str, Alphabets]:
    """The characters of meta-training, validation and meta-test, by alphabet, all sorted.

    Protocol `alphabet` uses the data set's own parts, and takes validation from the
    alphabets of meta-training. Protocol `standard` pools all characters, as in Vinyals et
    al. (2016) and Finn et al. (2017). Protocol `file_order` pools them too, but takes them in the order
    of the files, as the authors' code does. Protocol `parts` uses the data set's own three parts.

    **Raises** `ParamsError`, which names the key, if the data set has too few characters for the study.
    """
    where = paths.settings(study_name)
    make = {"alphabet": _by_alphabet, "standard": _pooled, "file_order": _pooled, "parts": _own_parts}[data.protocol]
    splits = make(where, data, tasks, characters(study_name, data).alphabets(data))
    for name, chosen in splits.items():
        sizes = [len(characters) for characters in chosen.values()]
        if not sizes:  # a study without validation
            continue
        if tasks.scope == "alphabet" and tasks.ways > max(sizes):
            raise ParamsError(
                f"{where}.tasks.ways = {tasks.ways}: expected at most {max(sizes)},"
                f" the classes of the largest alphabet of the {name} split; lower it or set scope to 'any'"
            )
        if tasks.scope == "any" and tasks.ways > sum(sizes):
            raise ParamsError(
                f"{where}.tasks.ways = {tasks.ways}: expected at most the {sum(sizes)} classes of the {name} split"
            )
    return splits


def check(study_name: str, study: params.Study, variants: Mapping[str, params.Variant]) -> None:
    """Raise `ParamsError` for a study, or a variant in it, that its data sets cannot make.

    `variants`: those to check. A folder of yours may have too few classes for one of many variants: that one is
    refused when it is asked for alone.
    """
    where = paths.settings(study_name)
    _check_form(where, study.data, characters(study_name, study.data))
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
    try:
        splits = split(study_name, study.data, study.tasks)
        _check_images(where, study, variants, characters(study_name, study.data).images(study.data))
    except dataset.NotHereError:  # its classes are known where it lies; stages that read it say so
        return
    for part, chosen in splits.items():
        sizes = [len(characters) for characters in chosen.values()]
        if not sizes:
            continue
        most = max(sizes) if study.tasks.scope == "alphabet" else sum(sizes)
        for name, variant in variants.items():
            asked_for = len(variants) == 1 or not study.data.folder
            if asked_for and variant.takes_others and 2 * study.tasks.ways > most:
                raise ParamsError(
                    f"params.yaml: variants.{name}.fake_source = 'alphabet': its tasks need twice"
                    f" studies.{study_name}.tasks.ways = {study.tasks.ways} classes, and the {part} split has"
                    f" {most} at most; lower tasks.ways or remove the variant"
                )


def _check_form(where: str, data: params.Data, found: dataset.Characters) -> None:
    """What the data set fixes, the study has to say too: other images would need other networks."""
    for key, own in (("side", found.side), ("channels", found.channels)):
        if own is not None and getattr(data, key) != own:
            raise ParamsError(
                f"{where}.data.{key} = {getattr(data, key)}: expected {own}, as the images of {data.dataset!r} have"
            )
    if data.folder and not found.takes_folder:
        raise ParamsError(
            f"{where}.data.folder = {data.folder!r}: expected '' for {data.dataset!r}, which comes from its public"
            " source; choose another dataset or empty it"
        )


def _check_images(where: str, study: params.Study, variants: Mapping[str, params.Variant], images: int) -> None:
    """Whether the class with the fewest images has enough for a task and for the encoders."""
    tasks, name = study.tasks, study.data.dataset
    asked = [(key, getattr(tasks, key)) for key in ("train_queries", "test_queries")]
    asked += [("test.other_queries", count) for count in study.test.other_queries]
    for key, count in asked:
        if tasks.shots + count > images:
            raise ParamsError(
                f"{where}.tasks: shots {tasks.shots} + {key} {count} needs {tasks.shots + count} images of a class, and"
                f" {name} has {images} of one; lower {key}, or add images"
            )
    for key in ("encoder", "judge"):
        if (held := getattr(study, key).validation_drawers) >= images:
            raise ParamsError(
                f"{where}.{key}.validation_drawers = {held}: expected fewer than the {images} images of a class of"
                f" {name}"
            )
    for key, variant in variants.items():
        if variant.takes_others and tasks.shots * variant.fakes_per_real > images:
            raise ParamsError(
                f"params.yaml: variants.{key}.fakes_per_real = {variant.fakes_per_real}: times {where}.tasks.shots ="
                f" {tasks.shots} it needs more than the {images} images of a class of {name}; lower one of them"
            )


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    # By digest, not by a random generator, so that the order does not depend on a library's version.
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())


def _by_alphabet(
    where: str, data: params.Data, tasks: params.Tasks, parts: dict[str, Alphabets]
) -> dict[str, Alphabets]:
    if "background" not in parts:
        raise ParamsError(
            f"{where}.data.protocol = 'alphabet': {data.dataset} has no alphabets in two parts; expected 'parts' or"
            " 'standard'"
        )
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
    """Protocols `standard` (characters shuffled) and `file_order` (sorted by part, alphabet and character).

    Validation is the last of the first `train_characters`. With `train_on_validation`, meta-training has these too.
    """
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
    in_file_order = data.protocol == "file_order"
    order = pool if in_file_order else _shuffled(pool, data.split_seed)
    last, held = data.train_characters, data.train_characters - data.validation_characters
    bounds = {"train": (0, last if data.train_on_validation else held), "validation": (held, last)}
    splits: dict[str, Alphabets] = {}
    for name, (start, end) in (bounds | {"test": (last, len(pool))}).items():
        splits[name] = {}
        for both in order[start:end] if in_file_order else sorted(order[start:end]):
            alphabet, _, character = both.partition("/")
            splits[name].setdefault(alphabet, []).append(character)
    return splits


def _own_parts(where: str, data: params.Data, tasks: params.Tasks, parts: dict[str, Alphabets]) -> dict[str, Alphabets]:
    """The data set's own three parts, or its one part divided.

    Of one part, validation and meta-test get a fifth of the classes each, and at least `ways`; the rest is
    for meta-training.
    """
    if set(parts) == set(SPLITS):
        return {name: parts[name] for name in SPLITS}
    if len(parts) > 1:
        raise ParamsError(
            f"{where}.data.protocol = 'parts': {data.dataset} has the parts {', '.join(parts)}; expected 'alphabet' or"
            " 'standard'"
        )
    ((group, names),) = next(iter(parts.values())).items()
    held = max(tasks.ways, round(len(names) / HELD_SHARE))
    if len(names) < 2 * held + tasks.ways:
        raise ParamsError(
            f"{where}.tasks.ways = {tasks.ways}: {data.folder or data.dataset} has {len(names)} classes, and"
            f" meta-training, validation and meta-test need {tasks.ways} each, {3 * tasks.ways} in all; add classes or"
            " lower tasks.ways"
        )
    order = _shuffled(names, data.split_seed)
    rows = {"train": order[2 * held :], "validation": order[:held], "test": order[held : 2 * held]}
    return {name: {group: sorted(chosen)} for name, chosen in rows.items()}
