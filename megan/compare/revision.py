"""Reads results of another revision, from DVC's cache or from git, without changing the working tree."""

import contextlib
import difflib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from megan.errors import MeganError

HINT = "`git log`, `git branch` and `dvc exp list` show what there is"


class RevisionError(MeganError):
    """There is no such revision, or its results are not in DVC's cache. The message says what to run."""


class Tree:
    """The files of one revision, those of git and those of DVC."""

    def __init__(self, files: Any, rev: str) -> None:
        self._files, self._rev = files, rev

    def exists(self, path: Path) -> bool:
        return bool(self._files.exists(path.as_posix()))

    def names(self, folder: Path) -> list[str]:
        """The names in a folder; none if there is no such folder."""
        if not self.exists(folder):
            return []
        return sorted(Path(path).name for path in self._files.ls(folder.as_posix(), detail=False))

    def fetch(self, source: Path, target: Path) -> None:
        """Copy a folder. Raises `RevisionError` if a file is not in the cache."""
        from dvc.exceptions import DvcException
        from dvc_data.index import DataIndexDirError

        try:
            self._files.get(source.as_posix(), str(target), recursive=True)
        except (DvcException, DataIndexDirError, OSError):
            raise RevisionError(
                f"the files of {source} at revision {self._rev} are not in DVC's cache; fetch them with `dvc fetch"
                " --all-commits`, or make them: check the revision out and run dvc repro"
            ) from None


@contextlib.contextmanager
def opened(rev: str) -> Iterator[Tree]:
    """The tree of a commit, branch, tag or experiment. Raises `RevisionError` if there is none of this name."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        files = DVCFileSystem(url=".", rev=rev)
        files.repo.get_rev()  # the revision is looked up only now
    except DvcException:
        near = difflib.get_close_matches(rev, _names(), n=1)
        told = f"did you mean {near[0]!r}?" if near else HINT
        raise RevisionError(f"there is no revision or experiment {rev!r}; {told}") from None
    yield Tree(files, rev)


def _names() -> list[str]:
    """Branches, tags and experiments of this repository."""
    listed = subprocess.run(["git", "for-each-ref", "--format=%(refname)"], capture_output=True, text=True).stdout
    refs = [ref for ref in listed.split() if not ref.startswith(("refs/remotes/", "refs/exps/exec/"))]
    return [ref.rpartition("/")[2] for ref in refs]
