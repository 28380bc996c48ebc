"""Reads `params.yaml` and checks all of it before anything runs. No other module reads the file.

`schema` defines the content of each block, `checks` the combinations that cannot run. This module
reads the file, fills in defaults, and writes one-line errors.
"""

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from megan.config import paths
from megan.config.block import Block
from megan.config.checks import ParamsError, check_study, check_variant
from megan.config.claims import Claims
from megan.config.document import BLOCKS, KEYS, OWN_KEYS, merged, own_studies, read, resolved, shipped
from megan.config.schema import Data, Encoder, Inner, Study, Tasks, Test, Tier, Tiers, Train
from megan.config.variant import Style, Variant

__all__ = [
    "Claims",
    "Data",
    "Encoder",
    "Inner",
    "Params",
    "ParamsError",
    "Study",
    "Style",
    "Tasks",
    "Test",
    "Tier",
    "Tiers",
    "Train",
    "Variant",
    "load",
    "read",
    "resolved",
]

LONGEST_NAME = 80


class Params(Block):
    """The whole file, with the defaults of each study and variant filled in.

    `waiting`: stages of the current study that have no result yet, as `test@maml` or `gan`, if tables, claims and
    figures are to be made without them: see `without`. `variants` then holds the others.
    """

    study: str
    studies: dict[str, Study]
    variants: dict[str, Variant]
    claims: Claims
    variants_by_study: dict[str, dict[str, Variant]] = {}
    waiting: tuple[str, ...] = ()

    def of(self, study: str) -> "Params":
        """The same with another current study. Raises `ParamsError` if there is none of this name."""
        if study not in self.studies:
            raise ParamsError(_unknown("study", study, list(self.studies)))
        variants = self.variants_by_study.get(study, self.variants)
        return self.model_copy(update={"study": study, "variants": variants})

    def without(self, waiting: Collection[str]) -> "Params":
        """The same without the stages `waiting`, and without the variants whose meta-test is one of them."""
        variants = {name: variant for name, variant in self.variants.items() if f"test@{name}" not in waiting}
        return self.model_copy(update={"variants": variants, "waiting": tuple(waiting)})

    @property
    def current(self) -> Study:
        return self.studies[self.study]

    @property
    def styles(self) -> dict[str, Style]:
        """Label and colour of each variant in figures and tables."""
        return {name: variant.style for name, variant in self.variants.items()}

    def tier(self, variant: str) -> Tier:
        """Training length, seeds and test tasks of a variant in the current study."""
        return self.current.tiers.named[self.variants[variant].tier]

    def settings(self, variant: str) -> Study:
        """The current study's settings for one variant, which may change some of them."""
        own = self.variants[variant].settings
        return Study.model_validate(merged(self.current.model_dump(), own)) if own else self.current

    def variant(self, name: str) -> Variant:
        """The options of a variant. Raises `ParamsError` if the study does not have it."""
        if name not in self.variants:
            if others := [study for study, variants in self.variants_by_study.items() if name in variants]:
                raise ParamsError(
                    f"study {self.study!r} has no variant {name!r}; these have: {', '.join(others)}"
                    f" (--study {others[0]})"
                )
            own = paths.own_params(self.study)
            raise ParamsError(_unknown("variant", name, list(self.variants), own if own.is_file() else paths.PARAMS))
        return self.variants[name]


def _unknown(what: str, name: object, known: list[str], file: Path = paths.PARAMS) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(known)}"
    return f"{file}: unknown {what} {name!r}; {hint}"


OWN = ("tier", "label", "colour")  # keys without a default: every variant has its own


def load(path: Path = paths.PARAMS, study: str = "") -> Params:
    """Read and check `params.yaml`, and `studies/*/params.yaml` beside it.

    **Arguments** `study`: the study that is current; that of `params.yaml` if empty.
    **Returns** the frozen `Params`.
    **Raises** `ParamsError`, which names the key, for an unknown key, a wrong type or range, or
    a combination that cannot run.
    """
    document = read(path)
    _check_blocks(document)
    _checked(Study, document["study_defaults"], "study_defaults")
    _check_variant_defaults(document)
    own = own_studies(document, path.parent)
    document = resolved(document)
    studies = {
        _name("study", name): _checked(Study, block, f"studies.{name}") for name, block in document["studies"].items()
    }
    variants = _variants(document["variants"], paths.PARAMS)
    _variants(document["more_variants"], paths.PARAMS, "more_variants")
    by_study = dict.fromkeys(studies, variants)
    for name, block in own.items():
        if name in studies:
            raise ParamsError(f"{paths.own_params(name)}: params.yaml has a study {name!r} too; remove one of them")
        _check_own(name, block, list(shipped(document)))
        studies[_name("study", name)] = _checked(Study, block["settings"], "settings", paths.own_params(name))
        by_study[name] = _variants(block["variants"], paths.own_params(name))
    chosen = study or document["study"]
    if chosen not in studies:
        raise ParamsError(_unknown("study", chosen, list(studies)))
    for name, settings in studies.items():
        check_study(name, settings)
        _check_in_study(name, settings, by_study[name])
    claims = _checked(Claims, document["claims"], "claims")
    return Params.model_construct(
        study=chosen, studies=studies, variants=by_study[chosen], claims=claims, variants_by_study=by_study
    )


def _variants(blocks: dict[str, Any], file: Path, key: str = "variants") -> dict[str, Variant]:
    found = {_name("variant", name): _checked(Variant, block, f"{key}.{name}", file) for name, block in blocks.items()}
    for name, variant in found.items():
        check_variant(f"{key}.{name}", variant, file)
    return found


def _check_in_study(name: str, study: Study, variants: dict[str, Variant]) -> None:
    """Whether the study has each variant's tier, and can have the settings that a variant changes."""
    own = paths.own_params(name)
    file, tiers = own if own.is_file() else paths.PARAMS, list(study.tiers.named)
    for variant, options in variants.items():
        if options.tier not in tiers:
            raise ParamsError(
                f"{file}: variants.{variant}.tier = {options.tier!r}: expected one of the tiers of study {name!r}:"
                f" {', '.join(tiers)}"
            )
        if options.settings:
            changed = merged(study.model_dump(), options.settings)
            check_study(name, _checked(Study, changed, f"variants.{variant}.settings", file))


def _check_own(name: str, block: dict[str, Any], shipped: list[str]) -> None:
    """The keys of a study in a folder of its own, and where it says that its folder is."""
    file = paths.own_params(name)
    for key in block:
        if key not in OWN_KEYS:
            raise ParamsError(_unknown("key", key, list(OWN_KEYS), file))
    for key, wanted in (("study", name), ("root", "../.."), ("here", file.parent.as_posix())):
        if block.get(key) != wanted:
            raise ParamsError(
                f"{file}: {key} = {_shown(block.get(key))}: expected {wanted!r}, as its folder is {file.parent}"
            )
    if not block["variants"]:
        raise ParamsError(f"{file}: variants must be a mapping that is not empty: it names those that the study has")
    for variant, options in block["variants"].items():
        if variant not in shipped and isinstance(options, dict) and not {*OWN, "approach"} <= options.keys():
            raise ParamsError(
                f"{_unknown('variant', variant, shipped, file)}; a new one states {', '.join(OWN)} and its options"
            )


def _check_blocks(document: dict[str, Any]) -> None:
    for key in document:
        if key not in KEYS:
            raise ParamsError(_unknown("key", key, list(KEYS)))
    for key in KEYS:
        if key not in document:
            raise ParamsError(f"params.yaml: key {key!r} is missing")
    if not isinstance(document["study"], str):
        kind = type(document["study"]).__name__
        raise ParamsError(f"params.yaml: unknown study: expected a name, one of studies, got a {kind}")
    for key in BLOCKS:
        empty = not document[key] and key != "more_variants"
        if not isinstance(document[key], dict) or empty:
            raise ParamsError(f"params.yaml: {key!r} must be a mapping that is not empty, got {_shown(document[key])}")
    for key in ("root", "here"):
        if document[key] != ".":
            raise ParamsError(
                f"params.yaml: {key} = {_shown(document[key])}: expected '.', as it lies in the repository"
            )
    for name in document["more_variants"]:
        if name in document["variants"]:
            raise ParamsError(f"params.yaml: more_variants.{name} is in variants too; remove one of them")
    for block in ("studies", "variants", "more_variants"):
        for name, own in document[block].items():
            if not isinstance(own, dict):
                raise ParamsError(f"params.yaml: {block}.{name} must be a mapping, got {_shown(own)}")


def _check_variant_defaults(document: dict[str, Any]) -> None:
    defaults = document["variant_defaults"]
    for key in OWN:
        if key in defaults:
            raise ParamsError(f"params.yaml: variant_defaults.{key} is not allowed: give it in each variant instead")
    complete = {**defaults, "tier": "headline", "label": "defaults", "colour": "#000000"}
    _checked(Variant, complete, "variant_defaults")


def _name(what: str, name: object) -> str:
    # A name is used for folders and in DVC's stage names, where a dot or slash is not possible.
    if not isinstance(name, str) or not name.replace("_", "").isalnum() or not name.isascii():
        raise ParamsError(f"params.yaml: {what} name {name!r} may hold only letters, digits and underscores")
    if len(name) > LONGEST_NAME:
        raise ParamsError(
            f"params.yaml: {what} name {name!r} has {len(name)} characters; expected at most"
            f" {LONGEST_NAME}, because file names contain it"
        )
    if what == "study" and name == paths.RECORD.name:
        raise ParamsError(
            f"params.yaml: study name {name!r} is reserved for {paths.RECORD}, the committed records; choose another"
        )
    return name


def _checked(model: type[Block], block: object, where: str, file: Path = paths.PARAMS) -> Any:
    if not isinstance(block, dict):
        raise ParamsError(f"{file}: {where} must be a mapping, got {_shown(block)}")
    try:
        return model.model_validate(block)
    except ValidationError as error:
        raise ParamsError(_first_problem(model, error, where, file)) from None


def _first_problem(model: type[Block], error: ValidationError, where: str, file: Path) -> str:
    # Unknown keys first, because a misspelt key also causes a missing one.
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    *parents, key = problem["loc"] or ("",)
    dotted = ".".join(str(part) for part in (where, *problem["loc"]) if part != "")
    if problem["type"] == "extra_forbidden":
        block: Any = model
        for part in parents:  # each block is a model, or a mapping from names to models
            if get_origin(block) is dict:
                block = get_args(block)[1]
            else:
                field = block.model_fields.get(str(part))
                block = field.annotation if field else Tier  # a tier that the study adds
        known = [".".join((where, *map(str, parents), field)) for field in block.model_fields]
        return _unknown("key", dotted, known, file)
    if problem["type"] == "missing":
        return f"{file}: key {dotted!r} is missing"
    message = problem["msg"].removeprefix("Input should be ")
    return f"{file}: {dotted} = {_shown(problem['input'])}: expected {message}"


def _shown(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # Python refuses to print integers with thousands of digits
        return f"a {type(value).__name__} too long to print"
