"""dvc.yaml lists for each stage the source files that it really uses: no fewer, no more."""

import ast
import functools
from pathlib import Path

import pytest
from dvc.repo import Repo

from megan.stages.registry import source_files

ROOT = Path(__file__).parents[2]

# What every stage imports, and what shapes no number: a new key, path or line of progress trains nothing again.
CONTRACTS = ("megan/config/", "megan/runs/", "megan/errors.py", "megan/__main__.py", "megan/stages/registry.py")


def is_contract(name: str) -> bool:
    return name.startswith(CONTRACTS) or Path(name).name == "__init__.py"


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of everything of this package that the code imports, at any level of nesting."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "megan"}


def source(name: str) -> str | None:
    """The file of a dotted name; None for a package or for a name inside a module."""
    path = Path(*name.split(".")).with_suffix(".py")
    return path.as_posix() if (ROOT / path).is_file() else None


@functools.cache
def used_directly(path: str) -> frozenset[str]:
    """Modules that a module imports, and files beside it that it names (sources to compile, say)."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = {file for name in imported(tree) if (file := source(name))}
    beside = {file.name for file in (ROOT / path).parent.iterdir() if file.is_file()}
    named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    found |= {Path(path).with_name(name).as_posix() for name in named & beside}
    return frozenset(found)


def closure(entry: str) -> set[str]:
    """Every file that `entry` uses, itself included, contracts left out."""
    found, waiting = set(), [entry]
    while waiting:
        path = waiting.pop()
        if path in found or is_contract(path):
            continue
        found.add(path)
        if path.endswith(".py"):
            waiting += used_directly(path)
    return found


def entry(address: str) -> str:
    """The module that does a stage's work."""
    return f"megan/stages/{address.partition('@')[0]}.py"


def files(listed: str) -> set[str]:
    """What an entry of `deps` stands for: itself, or all source files below it."""
    return {name for name in source_files(listed) if not is_contract(name)}


@pytest.fixture(scope="module")
def stages(original) -> dict[str, set[str]]:
    """The source files that DVC lists, by stage address."""
    with Repo(str(original.folder)) as repo:
        listed = {
            stage.name: {dep.def_path for dep in stage.deps if dep.def_path.startswith("megan/")}
            for stage in repo.index.stages
            if stage.path_in_repo == "dvc.yaml"
        }
    return {address: set().union(*map(files, names)) for address, names in listed.items()}


def test_every_stage_has_a_module(stages):
    assert all((ROOT / "megan" / "stages" / f"{address.partition('@')[0]}.py").is_file() for address in stages)


def test_every_file_that_a_stage_uses_is_listed(stages):
    """A folder may hold more than one stage needs."""
    problems = [
        f"{address}: missing {name}"
        for address, listed in stages.items()
        for name in sorted(closure(entry(address)) - listed)
    ]
    assert not problems, "dvc.yaml, deps:\n" + "\n".join(problems)


def test_entries_are_listed(stages):
    for address, listed in stages.items():
        assert entry(address) in listed


def test_closure_finds_what_is_indirect():
    train = closure(entry("train@maml"))
    assert {"megan/meta/adapt.py", "megan/ops/native.py", "megan/ops/native.cpp"} <= train
    assert not [name for name in train if name.startswith("megan/report/") or is_contract(name)]


def test_report_never_imports_torch():
    """Directly, or through a module of this package: drawing a figure must not take seconds to start."""
    for name in ("megan.stages.summary", "megan.stages.claims", "megan.stages.report"):
        for path in filter(lambda path: path.endswith(".py"), closure(source(name))):
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            outside = [node.names[0].name for node in ast.walk(tree) if isinstance(node, ast.Import)]
            outside += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
            assert not [one for one in outside if one.split(".")[0] == "torch"], path
