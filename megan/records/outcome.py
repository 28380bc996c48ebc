"""A finished stage's result: where it lies, and whether it fits the parameters, code and data at hand.

The check is for results that were made elsewhere: what DVC knows of the inputs of a stage
that it ran itself, this reads from the `record.json` that came with the result.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import megan
from megan import paths, storage
from megan.errors import MeganError
from megan.meta import work
from megan.params import Params

CODE = Path(megan.__file__).parents[1]
SINGLE = ("encoder", "judge", "gan", "samples")


def folder(study: str, address: str) -> Path:
    """Where the result of `encoder`, `judge`, `gan`, `samples`, `train@VARIANT` or `test@VARIANT` lies.

    **Raises** `MeganError` for any other address.
    """
    stage, at, variant = address.partition("@")
    if stage in SINGLE and not at:
        return {"encoder": paths.encoder, "judge": paths.judge, "gan": paths.gan, "samples": paths.samples}[stage](study)
    if stage in ("train", "test") and variant:
        return {"train": paths.trained, "test": paths.tested}[stage](study, variant)
    raise MeganError(f"{address!r} is no stage with a record: expected one of {', '.join(SINGLE)}, train@VARIANT, test@VARIANT")


def provenance(study: str, address: str) -> Path:
    return paths.provenance(study, address.replace("@", "-"))


def files(study: str, address: str) -> dict[str, Path]:
    """Every file of a result that stands, its provenance included, by its name from the repository's root."""
    found = [file for file in folder(study, address).iterdir() if file.is_file() and not file.name.startswith(".")]
    return {path.as_posix(): path for path in sorted([*found, provenance(study, address)])}


def source_files(path: Path) -> list[str]:
    """The source file, or every one below the folder, by its name from the repository's root."""
    return sorted(file.as_posix() for kind in ("py", "cpp") for file in path.rglob(f"*.{kind}")) if path.is_dir() else [path.as_posix()]


def sources() -> dict[str, str]:
    """SHA-256 of every source file of this package, by its name from the repository's root."""
    here = [CODE / name for name in source_files(CODE / "megan")]
    return {path.relative_to(CODE).as_posix(): storage.digest_file(path) for path in here}


def check(params: Params, address: str, record: dict[str, Any], arriving: Mapping[str, str] = MappingProxyType({})) -> None:
    """Compare a record with the working tree: parameters, then source files, then data.

    **Arguments** `arriving`: the records' digests of results that come together with this one.
    **Raises** `StaleError`, one line that names the first difference, both values and a way out.
    """
    _check_parameters(params, address, record)
    for module, digest in record.get("modules", {}).items():
        path = (CODE / module.replace(".", "/")).with_suffix(".py")
        path = path if path.is_file() else path.with_suffix("") / "__init__.py"
        if not path.is_file() or storage.digest_file(path) != digest:
            raise work.StaleError(f"{params.study}: {address} was made by another {path.relative_to(CODE)} than stands here; take the code that made it, or make it anew")
    # The plain GAN reads no split: its raw files are checked against the digests in the source.
    for name, digest in record.get("data", {}).items() if address != "gan" else ():
        here = arriving.get(name) or _data(params.study, name)
        if here not in (None, digest):
            raise work.StaleError(f"{params.study}: {address} was made from other data ({name}: {digest[:12]}..., here {here[:12]}...); prepare the same data, or make it anew")


def _check_parameters(params: Params, address: str, record: dict[str, Any]) -> None:
    made_by, variant = record.get("parameters", {}), address.partition("@")[2]
    wanted = {"study": params.study}
    if variant:
        params.variant(variant)
        wanted = work.parameters(params, variant)
    for key in wanted.keys() - made_by.keys():
        raise work.StaleError(f"{params.study}: {address}: its record does not say with which {key!r} it was made; make it anew")
    study = params.current.model_dump(mode="json")
    for key, value in made_by.items():
        expected = wanted.get(key, study.get(key))
        if key == "test_tasks":
            expected = params.tier(variant).test_tasks
        if value != expected and isinstance(value, dict) and isinstance(expected, dict):
            inner = next(name for name in sorted({*value, *expected}) if value.get(name) != expected.get(name))
            key, value, expected = f"{key}.{inner}", value.get(inner), expected.get(inner)
        if value != expected:
            raise work.StaleError(f"{params.study}: {address} was made with {key} = {_shown(value)}, params.yaml says {_shown(expected)}; set the same, or make it anew")


def _shown(value: object) -> str:
    return f"{json.dumps(value):.200}"


def _data(study: str, name: str) -> str | None:
    """The digest of an input here, None where the name is none of those that can be compared."""
    if name in ("train", "validation", "test"):
        return work.data_digests(study, name)[name]
    if name in ("encoder", "judge"):
        return work.read_record(folder(study, name), name)["digest"]
    return None
