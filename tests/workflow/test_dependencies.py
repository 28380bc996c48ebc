"""dvc.yaml lists for each stage the source files that it really uses: no fewer, no more."""

import ast
import functools
import inspect
import textwrap
from pathlib import Path

import pytest
from dvc.repo import Repo

from megan import __main__ as command_line
from megan.records.outcome import source_files
from megan.report.figures import MODULES

ROOT = Path(__file__).parents[2]

# What every stage imports. A new key, path or column of provenance trains nothing again.
CONTRACTS = {
    f"megan/{name}.py" for name in ("__main__", "params", "schema", "paths", "errors", "settings", "storage", "progress", "provenance")
}  # fmt: skip


def is_contract(name: str) -> bool:
    return name in CONTRACTS or Path(name).name == "__init__.py"


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
    """The module that the command line runs for a stage."""
    stage, _, item = address.partition("@")
    if stage == "figure":
        return source(MODULES[item])
    function, *_ = command_line.STAGES[stage]
    (path,) = {file for name in imported(ast.parse(textwrap.dedent(inspect.getsource(function)))) if (file := source(name))}
    return path


def files(listed: str) -> set[str]:
    """What an entry of `deps` stands for: itself, or all source files below it."""
    return {name for name in source_files(Path(listed)) if not is_contract(name)} if (ROOT / listed).is_dir() else {listed}


@pytest.fixture(scope="module")
def stages(original) -> dict[str, set[str]]:
    """The source files that DVC lists, by stage address."""
    with Repo(str(original.folder)) as repo:
        listed = {stage.name: {dep.def_path for dep in stage.deps if dep.def_path.startswith("megan/")} for stage in repo.index.stages}
    return {address: set().union(*map(files, names)) for address, names in listed.items()}


def test_every_command_is_a_stage(stages):
    assert {address.partition("@")[0] for address in stages} == set(command_line.STAGES)


def test_figures_agree(stages):
    assert {address.partition("@")[2] for address in stages if address.startswith("figure@")} == set(MODULES)


def test_listed_files_are_those_used(stages):
    problems = []
    for address, listed in stages.items():
        needed = closure(entry(address))
        # One list serves all items of a stage, so a helper of one figure stands in all.
        # What made the weights that `test` reads may stand beside it in a folder: it runs again for that anyway.
        related = {address.partition("@")[0]} | ({"train"} if address.startswith("test@") else set())
        siblings = [other for other in stages if other.partition("@")[0] in related]
        allowed = set().union(*(closure(entry(other)) for other in siblings))
        problems += [f"{address}: missing {name}" for name in sorted(needed - listed)]
        problems += [f"{address}: superfluous {name}" for name in sorted(listed - allowed)]
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
    for name in [*MODULES.values(), "megan.report.summary"]:
        for path in closure(source(name)):
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            outside = [node.names[0].name for node in ast.walk(tree) if isinstance(node, ast.Import)]
            outside += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
            assert not [one for one in outside if one.split(".")[0] == "torch"], path
