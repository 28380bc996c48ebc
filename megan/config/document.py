"""Reads the files of parameters as plain data, and fills in the defaults of studies and variants."""

import copy
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from megan.config import paths
from megan.config.checks import ParamsError

BLOCKS = ("study_defaults", "studies", "variant_defaults", "variants", "more_variants", "claims")
KEYS = ("study", *BLOCKS, "root", "here")
OWN_KEYS = ("study", "root", "here", "settings", "variant_defaults", "variants")  # of a study in a folder of its own


def read(path: Path = paths.PARAMS) -> dict[str, Any]:
    """The file as plain data, read as DVC does. Raises `ParamsError` if it is missing or not a YAML mapping."""
    try:
        # In Python: the parser in C words its errors otherwise.
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
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


def resolved(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the defaults of each study and variant filled in."""

    def filled(block: str, defaults: str) -> dict[str, Any]:
        return {name: merged(document[defaults], own) for name, own in document[block].items()}

    variants = {block: filled(block, "variant_defaults") for block in ("variants", "more_variants")}
    return {**document, "studies": filled("studies", "study_defaults"), **variants}


def merged(defaults: Any, own: Any) -> Any:
    if not isinstance(defaults, dict) or not isinstance(own, dict):
        return own
    return copy.deepcopy(defaults) | {key: merged(defaults.get(key), value) for key, value in own.items()}


def shipped(document: dict[str, Any]) -> dict[str, Any]:
    """All variants that studies in folders of their own can name. The studies of `document` run `variants` only."""
    return {**document["variants"], **document["more_variants"]}


def own_studies(document: dict[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """The files `studies/NAME/params.yaml` below `folder`, by name of the study.

    **Returns** for each its keys, with `settings` and `variants` completed. A variant takes its options from the
    study's own entry, then from the entry of `document`, then from the study's `variant_defaults`, then from those of
    `document`.
    """
    found, known = {}, shipped(document)
    for file in sorted((folder / paths.STUDIES).glob("*/params.yaml")):
        own = read(file)
        if any(not isinstance(own.get(key, {}), dict) for key in ("settings", "variant_defaults", "variants")):
            raise ParamsError(f"{file}: expected settings, variant_defaults and variants to be mappings")
        defaults = merged(document["variant_defaults"], own.get("variant_defaults", {}))
        variants = {
            name: merged(merged(defaults, known.get(name, {})), {} if block is None else block)
            for name, block in own.get("variants", {}).items()
        }
        settings = merged(document["study_defaults"], own.get("settings", {}))
        found[file.parent.name] = {**own, "settings": settings, "variants": variants}
    return found
