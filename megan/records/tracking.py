"""What DVC says of stages, and the word to commit them: through its command line, as a user would."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from megan.errors import MeganError
from megan.params import Params
from megan.records import outcome


class TrackingError(MeganError):
    """DVC refused, or finds a stage out of date; the message names it."""


def check_current(addresses: list[str], remedy: str) -> None:
    """Raises `TrackingError` naming the first of the stages (none: of all) that is not up to date."""
    for address, changes in json.loads(_dvc("status", "--json", *addresses) or "{}").items():
        raise TrackingError(f"{address} is not up to date ({' '.join(json.dumps(changes).split()):.300}); {remedy}")


def commit(addresses: list[str]) -> None:
    """Have DVC record the stages' results as they lie there, made from the inputs as they lie there."""
    _dvc("commit", "-f", *addresses)


def locked() -> dict[str, Any]:
    """The entries of `dvc.lock` by address."""
    return yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]


def listed_sources(params: Params) -> dict[str, list[str]]:
    """The source files that dvc.yaml lists, alone or by their folder, by the address of each stage with a record."""
    stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    addresses = [*outcome.SINGLE, *(f"{stage}@{name}" for stage in ("train", "test") for name in params.variants)]
    blocks = {address: stages[address.partition("@")[0]] for address in addresses}
    listed = {address: [name for name in block.get("do", block)["deps"] if name.startswith("megan/")] for address, block in blocks.items()}
    return {address: [file for name in names for file in outcome.source_files(Path(name))] for address, names in listed.items()}


def _dvc(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise TrackingError(f"dvc {arguments[0]} failed: {' '.join(done.stderr.split())[-600:]}")
    return done.stdout
