"""The only reader of `params.yaml`: typed, frozen, checked before anything runs.

`schema` says what each block may hold; here stand the reading, the combinations that can
never run, and the one-line errors. The resolved parameters that a result carries are complete.
"""

import difflib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from megan.config import paths
from megan.config.schema import (
    DRAWERS,
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
from megan.errors import MeganError

__all__ = [
    "DRAWERS",
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
]


LONGEST_NAME = 80


class ParamsError(MeganError):
    """`params.yaml` is unreadable or impossible; the message names the key and what to do."""


class Params(Block):
    """The whole file, with each variant's defaults filled in."""

    study: str
    studies: dict[str, Study]
    variants: dict[str, Variant]
    styles: dict[str, Style]
    claims: Claims

    @property
    def current(self) -> Study:
        return self.studies[self.study]

    def tier(self, variant: str) -> Tier:
        """Length and seeds of a variant in the current study."""
        return getattr(self.current.tiers, self.variants[variant].tier)

    def variant(self, name: str) -> Variant:
        """Raises `ParamsError` for a name that `params.yaml` does not hold."""
        if name not in self.variants:
            raise ParamsError(_unknown("variant", name, list(self.variants)))
        return self.variants[name]


def _unknown(what: str, name: object, known: list[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(known)}"
    return f"params.yaml: unknown {what} {name!r}; {hint}"


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                raise ParamsError(
                    f"params.yaml, line {key_node.start_mark.line + 1}: key {key!r} is given twice or is no name"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read(path: Path = paths.PARAMS) -> dict[str, Any]:
    """The file as plain data. Raises `ParamsError` when it is missing or no YAML mapping."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)
    except FileNotFoundError:
        raise ParamsError(f"{path} is not here; run the stage from the repository's root") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ParamsError(f"{path} is no valid YAML: nested too deeply") from None
    except (
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
    ) as error:  # of values that are not what their tags (!!int, ...) say
        raise ParamsError(
            f"{path} is no valid YAML: a value is not of the type that it is tagged with ({type(error).__name__}: {' '.join(str(error).split())})"
        ) from None
    if not isinstance(document, dict):
        raise ParamsError(f"{path} must be a mapping of keys, not {type(document).__name__}")
    return document


def load(path: Path = paths.PARAMS) -> Params:
    """Read and check `params.yaml`.

    **Returns** the frozen `Params`.
    **Raises** `ParamsError`, one readable message naming the key, for an unknown key, a
    wrong type or range, or an impossible combination.
    """
    document = read(path)
    known = ["study", "studies", "variant_defaults", "variants", "styles", "claims"]
    for key in document:
        if key not in known:
            raise ParamsError(_unknown("key", key, known))
    if not isinstance(document.get("study", ""), str):
        raise ParamsError(
            f"params.yaml: unknown study: expected a name, one of studies, got a {type(document['study']).__name__}"
        )
    for key in known:
        if key not in document:
            raise ParamsError(f"params.yaml: key {key!r} is missing")
    for key in known[1:]:
        if not isinstance(document[key], dict) or not document[key]:
            raise ParamsError(f"params.yaml: {key!r} must be a mapping that is not empty, got {_shown(document[key])}")
    studies = {
        _name("study", name): _checked(Study, block, f"studies.{name}") for name, block in document["studies"].items()
    }
    defaults = document["variant_defaults"]
    if "tier" in defaults:
        raise ParamsError(
            "params.yaml: variant_defaults.tier: expected in each variant instead, so that a tier's length concerns its own variants alone"
        )
    _checked(Variant, {**defaults, "tier": "headline"}, "variant_defaults")
    variants = {}
    for name, overrides in document["variants"].items():
        if not isinstance(overrides, dict):
            raise ParamsError(f"params.yaml: variants.{name} must be a mapping, got {_shown(overrides)}")
        variants[_name("variant", name)] = _checked(Variant, {**defaults, **overrides}, f"variants.{name}")
        _check_variant(name, variants[name])
    if document["study"] not in studies:
        raise ParamsError(_unknown("study", document["study"], list(studies)))
    styles = {name: _checked(Style, block, f"styles.{name}") for name, block in document["styles"].items()}
    for name in styles.keys() ^ variants.keys():
        missing, present = ("variants", "styles") if name in styles else ("styles", "variants")
        raise ParamsError(f"params.yaml: {present}.{name} has no {missing}.{name}; add it, or remove the other")
    claims = _checked(Claims, document["claims"], "claims")
    params = Params.model_construct(
        study=document["study"], studies=studies, variants=variants, styles=styles, claims=claims
    )
    for name, study in studies.items():
        _check_study(name, study)
    return params


def _name(what: str, name: object) -> str:
    # A name becomes a folder and a DVC stage address; a dot or slash would break either.
    if not isinstance(name, str) or not name.replace("_", "").isalnum() or not name.isascii():
        raise ParamsError(f"params.yaml: {what} name {name!r} may hold only letters, digits and underscores")
    if len(name) > LONGEST_NAME:
        raise ParamsError(
            f"params.yaml: {what} name {name!r} has {len(name)} characters; expected at most {LONGEST_NAME}, for files are named after it"
        )
    if what == "study" and name == paths.RECORD.name:
        raise ParamsError(
            f"params.yaml: study name {name!r} is taken: {paths.RECORD} holds committed records; choose another"
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
    # Unknown keys first: a misspelt key also shows up as a missing one.
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    *parents, key = problem["loc"] or ("",)
    dotted = ".".join(str(part) for part in (where, *problem["loc"]) if part != "")
    if problem["type"] == "extra_forbidden":
        for part in parents:
            model = model.model_fields[part].annotation
        return _unknown("key", dotted, [".".join((where, *map(str, parents), field)) for field in model.model_fields])
    if problem["type"] == "missing":
        return f"params.yaml: key {dotted!r} is missing"
    message = problem["msg"].removeprefix("Input should be ")
    return f"params.yaml: {dotted} = {_shown(problem['input'])}: expected {message}{_exponent_hint(problem['input'])}"


def _shown(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # Python prints no integer of thousands of digits
        return f"a {type(value).__name__} too long to print"


def _exponent_hint(value: object) -> str:
    """YAML 1.1 takes 1e-3 for a string; it wants a point."""
    try:
        number = float(value) if isinstance(value, str) else None
    except ValueError:
        return ""
    return "" if number is None else f" (YAML reads {value!r} as text; write {float(number)!r})"


def _check_variant(name: str, variant: Variant) -> None:
    """Options that contradict one another, each with the reason."""

    def refuse(key: str, reason: str) -> None:
        raise ParamsError(f"params.yaml: variants.{name}.{key} = {getattr(variant, key)!r}: {reason}")

    if variant.skip and variant.conditioning != "image":
        refuse(
            "skip",
            f"a residual needs an image, and conditioning is {variant.conditioning!r}; set conditioning: image or skip: false",
        )
    if variant.approach != "multi_task":
        for key, neutral in (("shared_layers", 0), ("condition_discriminator", False)):
            if getattr(variant, key) != neutral:
                refuse(
                    key,
                    f"only approach 'multi_task' has a discriminator apart, this is {variant.approach!r}; expected {neutral!r}",
                )
    if (
        variant.approach == "multi_task"
        and variant.conditioning == "none"
        and variant.fake_source.endswith("generator")
    ):
        for key in ("classify_fakes", "condition_discriminator"):
            if getattr(variant, key):
                refuse(key, "fakes made without conditioning have no class; expected False")
        if variant.outer_fake_weight:
            refuse("outer_fake_weight", "fakes made without conditioning have no class; expected 0")
    if variant.generator_outer_loss == "fooling" and variant.fake_source != "generator":
        refuse(
            "generator_outer_loss",
            f"there is no generator to train with fake_source {variant.fake_source!r}; expected 'classification'",
        )


def _check_study(name: str, study: Study) -> None:
    """Combinations that can never run, each with the key to change."""
    data, tasks, where = study.data, study.tasks, f"params.yaml: studies.{name}"
    asked = [(key, getattr(tasks, key)) for key in ("train_queries", "test_queries")] + [
        ("test.other_queries", count) for count in study.test.other_queries
    ]
    for key, count in asked:
        if tasks.shots + count > DRAWERS:
            raise ParamsError(
                f"{where}.tasks: shots {tasks.shots} + {key} {count} exceeds the {DRAWERS} drawings of a character; lower {key}"
            )
    if len({tasks.test_queries, *study.test.other_queries}) <= len(study.test.other_queries):
        raise ParamsError(
            f"{where}.test.other_queries = {list(study.test.other_queries)}: expected other numbers than tasks.test_queries {tasks.test_queries}, each once"
        )
    if study.judge.seed == study.encoder.seed:
        raise ParamsError(
            f"{where}.judge.seed = {study.judge.seed}: expected another seed than encoder.seed, or the judge begins as the network that conditions generators"
        )
    if study.test.draws > tasks.test_queries:
        raise ParamsError(
            f"{where}.test.draws = {study.test.draws}: expected at most tasks.test_queries {tasks.test_queries}, as many real drawings stand beside them"
        )
    if data.protocol == "alphabet":
        if data.rotations:
            raise ParamsError(
                f"{where}.data.rotations = true: expected false under protocol 'alphabet' (a rotated character is no character of its alphabet)"
            )
        if data.validation_alphabets < 1:
            raise ParamsError(f"{where}.data.validation_alphabets = 0: expected at least 1 under protocol 'alphabet'")
        if data.train_characters or data.validation_characters:
            raise ParamsError(
                f"{where}.data.train_characters and validation_characters belong to protocol 'standard'; set both to 0"
            )
    else:
        if data.validation_alphabets:
            raise ParamsError(f"{where}.data.validation_alphabets belongs to protocol 'alphabet'; set it to 0")
        if not 0 < data.validation_characters < data.train_characters:
            raise ParamsError(
                f"{where}.data.validation_characters = {data.validation_characters}: expected more than 0 and fewer than train_characters {data.train_characters}"
            )
        if tasks.scope == "alphabet":
            raise ParamsError(
                f"{where}.tasks.scope = 'alphabet': expected 'any' under protocol 'standard', whose split leaves no alphabet whole"
            )
        if data.rotations and data.dataset == "glyphs":
            raise ParamsError(
                f"{where}.data.rotations = true: expected false for the glyphs, among which some scripts are rotations of one another"
            )
        if tasks.ways > data.validation_characters:
            raise ParamsError(
                f"{where}.tasks.ways = {tasks.ways}: expected at most the {data.validation_characters} validation_characters"
            )
    for tier_name in type(study.tiers).model_fields:
        seeds = getattr(study.tiers, tier_name).seeds
        if len(set(seeds)) != len(seeds):
            raise ParamsError(f"{where}.tiers.{tier_name}.seeds = {list(seeds)}: expected seeds that differ")
        if study.test.sample_tasks > (count := getattr(study.tiers, tier_name).test_tasks):
            raise ParamsError(
                f"{where}.test.sample_tasks = {study.test.sample_tasks}: expected at most tiers.{tier_name}.test_tasks {count}"
            )
