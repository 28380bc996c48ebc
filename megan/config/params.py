"""Reads `params.yaml` and checks all of it before anything runs. No other module reads the file.

`schema` defines the content of each block, `checks` the combinations that cannot run. This module
reads the file, fills in defaults, and writes one-line errors.
"""

import copy
import difflib
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from megan.config import paths
from megan.config.checks import ParamsError, check_study, check_variant
from megan.config.schema import (
    Block,
    Claims,
    Data,
    Encoder,
    Inner,
    Study,
    Style,
    Tasks,
    Test,
    Tier,
    Tiers,
    Train,
    Variant,
)

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
    """The whole file, with the defaults of each study and variant filled in."""

    study: str
    studies: dict[str, Study]
    variants: dict[str, Variant]
    claims: Claims

    @property
    def current(self) -> Study:
        return self.studies[self.study]

    @property
    def styles(self) -> dict[str, Style]:
        """Label and colour of each variant in figures and tables."""
        return {name: variant.style for name, variant in self.variants.items()}

    def tier(self, variant: str) -> Tier:
        """Training length, seeds and test tasks of a variant in the current study."""
        return getattr(self.current.tiers, self.variants[variant].tier)

    def variant(self, name: str) -> Variant:
        """The options of a variant. Raises `ParamsError` if `params.yaml` does not have it."""
        if name not in self.variants:
            raise ParamsError(_unknown("variant", name, list(self.variants)))
        return self.variants[name]


def _unknown(what: str, name: object, known: list[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(known)}"
    return f"params.yaml: unknown {what} {name!r}; {hint}"


def read(path: Path = paths.PARAMS) -> dict[str, Any]:
    """The file as plain data, read as DVC does. Raises `ParamsError` if it is missing or not a YAML mapping."""
    try:
        document = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist here; run the stage from the root of the repository") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} cannot be read: {error}") from None
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1
        raise ParamsError(
            f"{path}, line {line}: {str(error.problem).partition(' with value')[0]}; give it once"
        ) from None
    except YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ParamsError(f"{path} is not valid YAML: nested too deeply") from None
    except (
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
    ) as error:  # a value does not match its tag (!!int, ...)
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ParamsError(f"{path} is not valid YAML: a value does not have the type of its tag ({told})") from None
    if not isinstance(document, dict):
        raise ParamsError(f"{path} must be a mapping of keys, not {type(document).__name__}")
    return document


KEYS = ("study", "study_defaults", "studies", "variant_defaults", "variants", "claims")
OWN = ("tier", "label", "colour")  # keys without a default: every variant has its own


def resolved(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the defaults of each study and variant filled in."""
    studies = {name: _merged(document["study_defaults"], block) for name, block in document["studies"].items()}
    variants = {name: _merged(document["variant_defaults"], block) for name, block in document["variants"].items()}
    return {**document, "studies": studies, "variants": variants}


def _merged(defaults: Any, own: Any) -> Any:
    if not isinstance(defaults, dict) or not isinstance(own, dict):
        return own
    return copy.deepcopy(defaults) | {key: _merged(defaults.get(key), value) for key, value in own.items()}


def load(path: Path = paths.PARAMS) -> Params:
    """Read and check `params.yaml`.

    **Returns** the frozen `Params`.
    **Raises** `ParamsError`, which names the key, for an unknown key, a wrong type or range, or
    a combination that cannot run.
    """
    document = read(path)
    _check_blocks(document)
    _checked(Study, document["study_defaults"], "study_defaults")
    _check_variant_defaults(document)
    document = resolved(document)
    studies = {
        _name("study", name): _checked(Study, block, f"studies.{name}") for name, block in document["studies"].items()
    }
    variants = {
        _name("variant", name): _checked(Variant, block, f"variants.{name}")
        for name, block in document["variants"].items()
    }
    for name, variant in variants.items():
        check_variant(name, variant)
    if document["study"] not in studies:
        raise ParamsError(_unknown("study", document["study"], list(studies)))
    for name, study in studies.items():
        check_study(name, study)
    claims = _checked(Claims, document["claims"], "claims")
    return Params.model_construct(study=document["study"], studies=studies, variants=variants, claims=claims)


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
    for key in KEYS[1:]:
        if not isinstance(document[key], dict) or not document[key]:
            raise ParamsError(f"params.yaml: {key!r} must be a mapping that is not empty, got {_shown(document[key])}")
    for block in ("studies", "variants"):
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


def _checked(model: type[Block], block: object, where: str) -> Any:
    if not isinstance(block, dict):
        raise ParamsError(f"params.yaml: {where} must be a mapping, got {_shown(block)}")
    try:
        return model.model_validate(block)
    except ValidationError as error:
        raise ParamsError(_first_problem(model, error, where)) from None


def _first_problem(model: type[Block], error: ValidationError, where: str) -> str:
    # Unknown keys first, because a misspelt key also causes a missing one.
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    *parents, key = problem["loc"] or ("",)
    dotted = ".".join(str(part) for part in (where, *problem["loc"]) if part != "")
    if problem["type"] == "extra_forbidden":
        block: Any = model
        for part in parents:  # each block is a model, or a mapping from names to models
            block = get_args(block)[1] if get_origin(block) is dict else block.model_fields[str(part)].annotation
        return _unknown("key", dotted, [".".join((where, *map(str, parents), field)) for field in block.model_fields])
    if problem["type"] == "missing":
        return f"params.yaml: key {dotted!r} is missing"
    message = problem["msg"].removeprefix("Input should be ")
    return f"params.yaml: {dotted} = {_shown(problem['input'])}: expected {message}"


def _shown(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # Python refuses to print integers with thousands of digits
        return f"a {type(value).__name__} too long to print"
