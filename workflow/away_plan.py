"""What `away.py` has to do, in which order, how far each job is, and how long the rest takes.

Everything is read from the files that the stages themselves write, so a killed run knows as
much as one that ended well.
"""

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open

from megan import params as parameters, paths, storage
from megan.data import catalogue
from megan.errors import MeganError
from megan.meta import work
from megan.params import Params
from megan.records import outcome

TIERS = ("headline", "ablation", "survey")
ANCHOR_FIRST = ["omniglot_standard:maml", "omniglot"]
KNOWN = Path("known")  # records of what another machine has finished and handed over


@dataclass(frozen=True)
class Job:
    """One stage of one study."""

    study: str
    address: str

    @property
    def stage(self) -> str:
        return self.address.partition("@")[0]

    @property
    def variant(self) -> str:
        return self.address.partition("@")[2]

    def __str__(self) -> str:
        return f"{self.study}:{self.address}"


@dataclass
class Plan:
    """The jobs in their order, and the folder in which each study has a tree of its own."""

    work: Path
    jobs: list[Job]
    params: dict[str, Params]
    done: dict[Job, dict[str, Any]] = field(default_factory=dict)  # the provenance of what stands
    stale: dict[Job, str] = field(default_factory=dict)  # why the others do not

    def inside(self, study: str) -> contextlib.AbstractContextManager:
        """The study's own tree as working directory."""
        return contextlib.chdir(self.work / study)

    def look(self, job: Job) -> bool:
        """Whether the job's result stands, here or handed over, and fits parameters, code and data."""
        with self.inside(job.study):
            home, known = outcome.folder(job.study, job.address), KNOWN / job.address
            try:
                if home.is_dir():
                    record, told = work.read_record(home, job.address), outcome.provenance(job.study, job.address)
                else:
                    record, told = json.loads((known / "record.json").read_text(encoding="utf-8")), known / "provenance.json"
                outcome.check(self.params[job.study], job.address, record)
                self.done[job] = json.loads(told.read_text(encoding="utf-8"))
            except (work.StaleError, OSError, ValueError) as error:
                self.stale[job] = str(error)
        return job in self.done

    def is_here(self, job: Job) -> bool:
        with self.inside(job.study):
            return outcome.folder(job.study, job.address).is_dir()

    def state(self, job: Job) -> Path | None:
        """The last saved state of an unfinished job."""
        with self.inside(job.study):
            found = sorted((paths.RESUME / job.study / job.address).glob("*/state.safetensors"), key=lambda path: path.stat().st_mtime)
        return found[-1] if found else None

    def share(self, job: Job) -> tuple[float, float]:
        """How much of a job is done, 0 to 1, and in how many seconds; zeros where nothing tells."""
        if job in self.done:
            return 1.0, float(self.done[job].get("wall_seconds") or 0.0)
        path = self.state(job)
        try:
            with safe_open(self.work / job.study / path, framework="numpy") as file:
                told = json.loads((file.metadata() or {}).get("progress", "{}"))
                return int(file.get_tensor("step")) / self.tier(job).meta_steps, float(told["seconds"])
        except (TypeError, KeyError, ValueError, OSError, SafetensorError):
            return 0.0, 0.0

    def encodes(self, job: Job) -> bool:
        """Whether the job builds the ResNet-18."""
        return self.params[job.study].variants[job.variant].needs_encoder if job.variant else job.stage in ("encoder", "judge")

    def tier(self, job: Job) -> parameters.Tier:
        return self.params[job.study].tier(job.variant)

    def tasks(self, job: Job) -> int:
        """Tasks that the whole job adapts to, of all seeds, validation left out; 0 for what has no tasks."""
        if not job.variant:
            return 0
        tier = self.tier(job)
        return len(tier.seeds) * (tier.test_tasks if job.stage == "test" else tier.meta_steps * self.params[job.study].current.train.meta_batch)

    def seconds_left(self, job: Job) -> float | None:
        """From the job's own speed, else that of its like; None where nothing like it was measured."""
        share, seconds = self.share(job)
        if share and seconds:
            return seconds * (1 - share) / share
        rate = self._rate(job, alike=True) or self._rate(job, alike=False)
        return None if rate is None else rate * (self.tasks(job) or 1)

    def _rate(self, job: Job, alike: bool) -> float | None:
        """Seconds a task (or a job, without tasks) over what was measured of the same stage, or of the same approach too."""
        spent = amount = 0.0
        for other in self.jobs:
            if other.stage != job.stage or (alike and (other.study, self._approach(other)) != (job.study, self._approach(job))):
                continue
            share, seconds = self.share(other)
            spent, amount = spent + seconds, amount + share * (self.tasks(other) or 1)
        return spent / amount if spent and amount else None

    def _approach(self, job: Job) -> str:
        return self.params[job.study].variants[job.variant].approach if job.variant else ""

    def table(self, failed: dict[Job, str]) -> str:
        """A line a job, and what is left in all."""
        lines, left, unknown = [], 0.0, 0
        for job in self.jobs:
            share, seconds = self.share(job)
            rest = 0.0 if job in self.done else self.seconds_left(job)
            left, unknown = left + (rest or 0.0), unknown + (rest is None)
            state = "done" if job in self.done else "FAILED" if job in failed else f"{share:.0%}" if share else "waiting"
            speed = f"{share * self.tasks(job) / seconds:,.0f} tasks/s" if seconds and self.tasks(job) else ""
            remaining = "" if job in self.done else "unknown" if rest is None else f"{rest / 60:.1f} min left"
            lines.append(f"{job!s:48} {state:>8} {seconds / 60:7.1f} min {speed:>16} {remaining:>16}")
        more = f", and {unknown} jobs of which nothing is known yet" if unknown else ""
        lines.append(f"{len(self.done)} of {len(self.jobs)} jobs done; about {left / 60:.0f} minutes left{more}")
        return "\n".join(lines)


def make(root: Path, folder: Path, selections: list[str]) -> Plan:
    """The plan of `STUDY` or `STUDY:VARIANT,VARIANT` in that order; each study gets a tree below `folder`.

    **Raises** `MeganError` for unknown studies and variants.
    """
    plan = Plan(folder, [], {})
    for selection in selections:
        study, _, named = selection.partition(":")
        tree = folder / study
        document = parameters.read(root / paths.PARAMS)
        if study not in document.get("studies", {}):
            raise MeganError(f"{selection!r}: params.yaml has no study {study!r}; expected one of {', '.join(document.get('studies', {}))}")
        storage.write_text(tree / paths.PARAMS, yaml.safe_dump({**document, "study": study}, sort_keys=False))
        plan.params[study] = parameters.load(tree / paths.PARAMS)
        catalogue.check(study, plan.params[study].current, plan.params[study].variants)
        plan.jobs += [job for job in _jobs(plan.params[study], [name for name in named.split(",") if name]) if job not in plan.jobs]
    for job in plan.jobs:
        plan.look(job)
    return plan


def _jobs(params: Params, named: list[str]) -> list[Job]:
    """Headline, ablation, survey; whatever has no variant before the survey, or before who needs it."""
    for name in named:
        params.variant(name)
    others = ["encoder"] if named else ["encoder", "judge", "gan"]  # DVC wants the encoder beside any training
    addresses: list[str] = []
    for tier in TIERS:
        for name, variant in params.variants.items():
            if variant.tier != tier or named and name not in named:
                continue
            if variant.needs_encoder or tier == "survey":
                addresses += others
            addresses += [f"train@{name}", f"test@{name}"]
    return [Job(params.study, address) for address in dict.fromkeys([*addresses, *others])]
