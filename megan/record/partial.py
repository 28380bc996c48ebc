"""Tables, claims, figures and page of a study of which only some variants have been run, or some on other machines.

For DVC these stages have missing inputs. So they are computed here for the tested variants, in a folder of their own
that leads to the results with links. `results/<study>/` and DVC's locks stay as they are.
"""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from megan.config import paths
from megan.config.params import Params
from megan.record import joined
from megan.record.check import dvc_digest
from megan.record.earlier import Earlier, tested
from megan.runs import result
from megan.stages import registry
from megan.stages.registry import Stage

SHARED = ("data", paths.PARAMS.name, paths.STUDIES.name)  # of the repository, that the stages read


def finished(params: Params, stages: dict[str, Stage], lock: dict[str, Any]) -> dict[str, Any]:
    """The entries of the lock whose stages are up to date, by their records.

    DVC is not asked: `dvc status` fails while `dvc repro` works on a stage, and may even stop it.
    """
    digests = registry.Digests(params)
    return {address: entry for address, entry in lock.items() if _stands(params, stages.get(address), entry, digests)}


def _stands(params: Params, stage: Stage | None, entry: dict[str, Any], digests: registry.Digests) -> bool:
    """Whether the result of a stage is whole, and parameters, code and inputs are those that made it."""
    if stage is None or not all(Path(output).exists() for output in stage.outputs):
        return False
    if not stage.keeps_record:
        made = {dep["path"]: dep["md5"] for dep in entry["deps"]}
        sources = {name: registry.ROOT / name for name in stage.code} | {stage.config.as_posix(): stage.config}
        return all(path.exists() and dvc_digest(path) == made[name] for name, path in sources.items() if name in made)
    try:
        made = result.verified(stage.folder, stage.target)
        result.check_parameters(stage.folder, made, registry.parameters(params, stage), stage.target)
        same = all(digests.of(path) == digest for path, digest in made.get("inputs", {}).items())
    except result.StaleError:
        return False
    return same and made.get("code") == registry.code(stage)


def needed(params: Params, stages: dict[str, Stage], known: Collection[str]) -> dict[str, Stage]:
    """The stages that follow the meta-tests, if a variant has been tested; else none."""
    after: dict[str, Stage] = {}
    made = {(paths.results(params.study) / "test").as_posix()}
    for address, stage in stages.items():
        if not stage.item and made & set(stage.inputs):
            after[address] = stage
            made |= set(stage.outputs)
    return after if any(tested(name, known) for name in params.variants) else {}


def waiting(params: Params, known: Collection[str]) -> tuple[str, ...]:
    """Addresses of the meta-tests, and of the plain GAN, that are not `known`."""
    tests = [f"test@{name}" for name in params.variants if not tested(name, known)]
    return (*tests, *([] if "gan" in known else ["gan"]))


@contextmanager
def results(params: Params, after: dict[str, Stage], done: Collection[str], kept: Earlier) -> Iterator[Path]:
    """Run the stages `after` in a temporary folder, and yield it; their results are below `results/<study>` there.

    **Arguments** `done`: the addresses of the stages that are finished here; `kept`: what the record has beyond them.
    **Raises** `MeganError` as the stages do.
    """
    base = paths.RESUME / paths.RECORD.name
    base.mkdir(parents=True, exist_ok=True)
    here, all_known = (params.without(waiting(params, known)) for known in (done, {*done, *kept.lock}))
    with tempfile.TemporaryDirectory(prefix=f"{params.study}-", dir=base) as name:
        home = Path(name).absolute()
        _lay_out(here, home, done)
        kept.lay_out(home / paths.results(params.study))
        record = kept.folder.absolute()
        with chdir(home):
            if kept.variants:
                _run(here, joined.STAGES if here.variants else (joined.SAMPLES,))
                for address in joined.STAGES:
                    joined.join(all_known, after[address], record, kept.variants)
                after = {address: stage for address, stage in after.items() if address not in joined.STAGES}
            _run(all_known, after)
        yield home


def _run(params: Params, stages: Iterable[str]) -> None:
    for address in (registry.CONFIG, *stages):
        registry.run(registry.prepare(params, address))


def _lay_out(params: Params, home: Path, done: Collection[str]) -> None:
    """Links to what the stages read, and copies of the provenance, which they add to."""
    for shared in SHARED:
        if Path(shared).exists():
            os.symlink(Path(shared).absolute(), home / shared)
    study = paths.results(params.study)
    for address, stage in registry.stages(params).items():
        if address in done and stage.keeps_record and not (home / stage.folder).exists():
            (home / stage.folder).parent.mkdir(parents=True, exist_ok=True)
            os.symlink(stage.folder.absolute(), home / stage.folder)
    (home / study / "provenance").mkdir(parents=True, exist_ok=True)
    for path in (study / "provenance").glob("*.json"):
        if path.stem.replace("-", "@", 1) in done:
            shutil.copyfile(path, home / study / "provenance" / path.name)
