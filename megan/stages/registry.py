"""Reads the stages from `dvc.yaml`, which is their only definition.

The sub-commands of the command line, the identity of a result, and the check that inputs match
the parameters are derived from it. The function of a stage is `run(job)` in the module of this
folder with the stage's name.
"""

import difflib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

import megan
from megan.config import paths
from megan.config.params import Params
from megan.errors import MeganError
from megan.runs import result, storage
from megan.runs.job import Job

ROOT = Path(megan.__file__).parents[1]  # of the repository with the running code
SOURCES = ("py", "cpp", "html", "csv")
CONFIG = "config"  # the stage that writes the parameters of all others


class RegistryError(MeganError):
    """A stage, an item or `dvc.yaml` does not exist. The message lists what exists."""


@dataclass(frozen=True)
class Command:
    """A stage without its items: a sub-command of the command line."""

    name: str
    description: str
    items: str  # "", or the kind of the items


@dataclass(frozen=True)
class Stage:
    """A stage with its item in one study, as in DVC."""

    study: str
    name: str
    item: str
    parameters: tuple[str, ...]  # dotted keys of `document`
    inputs: tuple[str, ...]  # files or folders of data and results, without the file of parameters
    code: tuple[str, ...]  # source files and folders of this package
    outputs: tuple[str, ...]

    @property
    def address(self) -> str:
        return f"{self.name}@{self.item}" if self.item else self.name

    @property
    def target(self) -> str:
        """The stage's name in commands of DVC at the root, as `studies/text/dvc.yaml:train@maml`."""
        return paths.pipeline(self.study) + self.address

    @property
    def folder(self) -> Path:
        return Path(self.outputs[0])

    @property
    def keeps_record(self) -> bool:
        """Whether its folder holds a `record.json`. Folders of data do not."""
        return self.name != CONFIG and self.folder.parts[0] == "results"

    @property
    def config(self) -> Path:
        """The file with its parameters."""
        return paths.config(self.study) / f"{self.address.replace('@', '-')}.yaml"


@functools.cache
def _blocks() -> dict[str, dict[str, Any]]:
    try:
        return YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    except FileNotFoundError:
        raise RegistryError(
            f"{ROOT / 'dvc.yaml'} does not exist; run from a clone of the repository, installed with `pip install -e .`"
        ) from None


def commands() -> Iterator[Command]:
    """Every stage, in the order of `dvc.yaml`."""
    for name, block in _blocks().items():
        items = block.get("foreach", "").strip("${}").removesuffix("s")  # `${variants}`: a block of params.yaml
        yield Command(name, block.get("do", block)["desc"], items)


def stages(params: Params) -> dict[str, Stage]:
    """All stages of the current study, by address."""
    found = [stage for name, block in _blocks().items() for stage in _expanded(name, block, params)]
    return {stage.address: stage for stage in found}


def _expanded(name: str, block: dict[str, Any], params: Params) -> Iterator[Stage]:
    if "foreach" not in block:
        yield _stage(name, "", block, params.study)
        return
    for item in params.variants:
        yield _stage(name, item, block["do"], params.study)


def _stage(name: str, item: str, block: dict[str, Any], study: str) -> Stage:
    def filled(texts: list[str]) -> tuple[str, ...]:
        values = {"${study}": study, "${key}": item, "${here}/": f"{paths.own_params(study).parent.as_posix()}/"}
        if not paths.own_params(study).is_file():
            values["${here}/"] = ""
        for key, value in values.items():
            texts = [text.replace(key, value) for text in texts]
        return tuple(dict.fromkeys(texts))

    listed = [path for path in filled(block["deps"]) if not path.startswith(f"{paths.config(study)}/")]
    code = tuple(path for path in listed if path.startswith("megan/"))
    inputs = tuple(path for path in listed if path not in code)
    taken = tuple(block.get("meta", {}).get("parameters", ()))
    return Stage(study, name, item, taken, inputs, code, filled([*block["outs"], *block.get("metrics", [])]))


def find(params: Params, name: str, item: str = "") -> Stage:
    """One stage. Raises `RegistryError` or `ParamsError` if the stage or item does not exist."""
    known = stages(params)
    address = f"{name}@{item}" if item else name
    if address in known:
        return known[address]
    if "foreach" in _blocks().get(name, {}):
        params.variant(item)
    items = [stage.item for stage in known.values() if stage.name == name]
    if items:
        raise RegistryError(f"unknown {name} {item!r}; {_hint(item, items)}")
    raise RegistryError(f"unknown stage {address!r}; {_hint(address, list(known))}")


def _hint(wrong: str, known: list[str]) -> str:
    near = difflib.get_close_matches(wrong, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(known)}"


def prepare(params: Params, name: str, item: str = "") -> Job:
    """The job of a stage, after verifying its inputs.

    Outputs of stages that `params.waiting` names are no inputs.

    **Raises** `StaleError` for the first input that is missing, altered, or made with other
    parameters or inputs; it says what to run.
    """
    stage, known = find(params, name, item), stages(params)
    digests, taken = Digests(params), parameters(params, stage)
    if stage.config.is_file() and YAML(typ="safe").load(stage.config.read_text(encoding="utf-8")) != taken:
        raise result.StaleError(
            f"{stage.config} does not match params.yaml; run: dvc repro -f {find(params, CONFIG).target}"
        )
    absent = {output for address in params.waiting if address in known for output in known[address].outputs}
    inputs = {path: digests.verified(path) for path in stage.inputs if path not in absent}
    return Job(params, name, item, stage.folder, {"parameters": taken, "inputs": inputs, "code": code(stage)})


def run(job: Job) -> None:
    import_module(f"megan.stages.{job.stage}").run(job)


def parameters(params: Params, stage: Stage) -> dict[str, Any]:
    """The parameters of a stage by dotted key, as `dvc.yaml` lists them under `meta: parameters`."""
    content = document(params, stage.item)
    return {"study": params.study} | {key: _at(content, key) for key in stage.parameters}


def document(params: Params, variant: str = "") -> dict[str, Any]:
    """The current study as plain data: its blocks, `variants`, `styles`, `claims`; if given, a variant and its tier."""
    study = params.settings(variant) if variant else params.current
    content = study.model_dump(mode="json")
    content["variants"] = {name: {"tier": one.tier, **one.options} for name, one in params.variants.items()}
    content["styles"] = {name: style.model_dump(mode="json") for name, style in params.styles.items()}
    content["claims"] = params.claims.model_dump(mode="json")
    if variant:
        content["variant"] = params.variants[variant].options
        content["tier"] = params.tier(variant).model_dump(mode="json")
    return content


def _at(content: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        content = content[part]
    return content


def code(stage: Stage, known: dict[str, str] | None = None) -> dict[str, str]:
    """SHA-256 of every source file of the stage, listed by name or by folder.

    `known` collects the digests, so that several stages read a file once.
    """
    known = {} if known is None else known
    names = [name for listed in stage.code for name in source_files(listed)]
    for name in names:
        if name not in known:
            known[name] = storage.digest_file(ROOT / name)
    return {name: known[name] for name in names}


def source_files(listed: str) -> list[str]:
    """A source file, or all source files below a folder, relative to the root of the repository."""
    path = ROOT / listed
    if not path.is_dir():
        return [listed]
    return sorted(file.relative_to(ROOT).as_posix() for kind in SOURCES for file in path.rglob(f"*.{kind}"))


class Digests:
    """Digests of the present inputs. Each file is read once."""

    def __init__(self, params: Params) -> None:
        self._params, self._stages = params, stages(params)
        self._known: dict[str, str] = {}

    def of(self, path: str) -> str:
        """SHA-256 of a file, or of the names and digests of a folder's files. For a result, that of its record.

        **Raises** `StaleError` if nothing exists there.
        """
        if path not in self._known:
            self._known[path] = self._digest(Path(path))
        return self._known[path]

    def _digest(self, path: Path) -> str:
        if path.is_file():
            return storage.digest_file(path)
        if (path / result.RECORD).is_file():
            return storage.digest_file(path / result.RECORD)
        parts = self._results(path.as_posix())
        if parts:
            return storage.digest({stage.address: self.of(stage.folder.as_posix()) for stage in parts})
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        if not files:
            raise result.StaleError(f"{path} does not exist; run: dvc repro {self._maker(path.as_posix())}")
        return storage.digest({file.relative_to(path).as_posix(): storage.digest_file(file) for file in files})

    def _maker(self, path: str) -> str:
        """The stage that writes `path`; "" if there is none, so that `dvc repro` runs all stages."""
        return next((stage.target for stage in self._stages.values() if path in stage.outputs), "")

    def _results(self, path: str) -> list[Stage]:
        """The stages with a record whose results are below a folder."""
        return [
            stage
            for stage in self._stages.values()
            if stage.keeps_record and stage.folder.as_posix().startswith(f"{path}/")
        ]

    def verified(self, path: str) -> str:
        """The digest, after checking files, parameters and inputs of the results at or below `path`."""
        for stage in self._results(path) or [
            stage for stage in self._stages.values() if stage.folder.as_posix() == path
        ]:
            if stage.keeps_record:
                self._check(stage)
        return self.of(path)

    def _check(self, stage: Stage) -> None:
        record = result.verified(stage.folder, stage.target)
        result.check_parameters(stage.folder, record, parameters(self._params, stage), stage.target)
        for path, digest in record.get("inputs", {}).items():
            if self.of(path) != digest:
                raise result.StaleError(
                    f"{stage.folder} was made from another version of {path}; run: dvc repro {stage.target}"
                )
