"""Commands of DVC and git that a record needs."""

import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from megan.record.manifest import RecordError


def dvc(*arguments: str) -> str:
    """The output of a command of DVC. It waits for a running `dvc repro` to leave the lock."""
    return _output([sys.executable, "-m", "dvc", "--wait-for-lock", *arguments], f"dvc {arguments[0]}", Path())


def would_run(folder: Path, targets: Collection[str]) -> list[str]:
    """Those of the targets that `dvc repro` in a clone without data would run, as far as it comes.

    DVC stops at a stage that is stale and whose inputs are missing, and names it in the error.
    """
    command = [sys.executable, "-m", "dvc", "repro", "--allow-missing", "--dry", "--keep-going", *targets]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    named = re.findall(r"^Running stage '([^']+)'", done.stdout, re.MULTILINE)
    for failed in re.findall(r"failed to reproduce (?:stages: )?('.*')", done.stdout + done.stderr):
        named += re.findall(r"'([^']+)'", failed)  # one, or several with "and"
    found = [target for target in targets if target in named]
    if done.returncode and not found:
        raise RecordError(f"dvc repro failed: {' '.join(done.stderr.split())[-600:]}")
    return found


def git(*arguments: str) -> str:
    """The output of a command of git."""
    return _output(["git", *arguments], f"git {arguments[0]}", Path())


def _output(command: list[str], name: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RecordError(f"{name} failed: {' '.join((done.stderr or done.stdout).split())[-600:]}")
    return done.stdout
