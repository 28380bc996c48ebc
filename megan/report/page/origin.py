"""How each number was made: commands, devices, versions and times; and what the numbers do not say."""

from dataclasses import dataclass
from typing import Any

import yaml

from megan.config import paths
from megan.config.params import Params
from megan.report.inputs import read_json
from megan.report.page.gallery import Gallery
from megan.report.page.variants import Variant
from megan.report.page.wording import count, duration, joined


@dataclass(frozen=True)
class Run:
    """One stage's run, from its file in `provenance/`. Texts; "" for what the file does not hold."""

    stage: str
    command: str
    record: str
    device: str
    commit: str
    finished: str
    wall: str
    speed: str


@dataclass(frozen=True)
class Origin:
    """`versions` are pairs of a package and its versions, more than one if stages differ."""

    runs: list[Run]
    versions: list[tuple[str, str]]
    seconds: str
    parameters: str
    variants: list[tuple[str, str]]


def read(params: Params, variants: list[Variant]) -> Origin:
    """Provenance differs from run to run, so equal results can give pages that differ in this part."""
    folder = paths.results(params.study) / "provenance"
    found = {path.stem: read_json(path, []) for path in sorted(folder.glob("*.json"))}
    versions: dict[str, set[str]] = {}
    for content in found.values():
        for package, version in dict(content.get("versions", {})).items():
            versions.setdefault(package, set()).add(str(version))
    seconds = sum(float(content.get("wall_seconds", 0)) for content in found.values())
    return Origin(
        [_run(params.study, stage, content) for stage, content in found.items()],
        [(package, ", ".join(sorted(known))) for package, known in versions.items()],
        duration(seconds) if found else "",
        _yaml(params.current.model_dump(mode="json")),
        [(variant.label, _yaml(_own(params, variant.name))) for variant in variants],
    )


def limits(params: Params, variants: list[Variant], gallery: Gallery) -> list[str]:
    """Sentences on what the numbers do not say, each because of something in this study."""
    said = [
        "The seed is the unit of inference. Intervals over tasks say how exactly these trained networks were"
        " measured, and nothing about other seeds."
    ]
    short = [row.label for row in variants if row.short]
    if short:
        which = joined(short) if len(short) <= 4 else count(len(short), "variant")
        said.append(
            f"Short runs ({which}): fewer than {params.claims.shortest:,} training tasks. They show that the"
            " code runs. Figures that compare variants leave them out where longer runs exist."
        )
    lengths = sorted({row.meta_steps for row in variants})
    if len(lengths) > 1:
        told = joined([f"{length:,}" for length in lengths])
        said.append(f"Variants trained for {told} meta-steps. Compare only variants of equal length.")
    if any(row.seeds == 1 for row in variants):
        said.append("A variant with one finished seed has no interval over seeds.")
    lost = sum(row.diverged for row in variants)
    if lost:
        said.append(f"{count(lost, 'seed')} diverged. No mean includes them.")
    if params.current.data.dataset == "glyphs":
        said.append("The images are synthetic handwriting, not a public data set. Nothing here is about Omniglot.")
    if gallery.judge:
        said.append(gallery.judge)
    said.append(
        "The validation accuracy of a curve is on "
        + ("classes that are trained on too, " if params.current.data.train_on_validation else "held-out classes, ")
        + (
            "and the weights of the last meta-step are tested."
            if params.current.train.keep == "last"
            else "and the highest point of each seed chose the tested weights."
        )
        + " Meta-test classes were used once, for the final numbers."
    )
    return said


def _run(study: str, stage: str, content: dict[str, Any]) -> Run:
    pipeline = paths.STUDIES / study / "dvc.yaml"  # of a study in a folder of its own
    prefix = f"{pipeline.as_posix()}:" if pipeline.is_file() else ""
    name, _, item = stage.partition("-")
    device = f"{content.get('device', '')} ({content.get('device_name', '')})".replace(" ()", "")
    threads = content.get("threads")
    speed = content.get("tasks_per_second")
    return Run(
        stage=f"{name} {item}".strip(), command=f"dvc repro {prefix}{name}{'@' * bool(item)}{item}",
        record=f"{name}/{item}/record.json" if item else f"{name}/record.json",
        device=device + (f", {count(threads, 'thread')}" if isinstance(threads, int) else ""),
        commit=str(content.get("commit", "")), finished=str(content.get("finished", "")),
        wall=duration(float(content["wall_seconds"])) if "wall_seconds" in content else "",
        speed=f"{speed:.1f}" if isinstance(speed, int | float) else "",
    )  # fmt: skip


def _own(params: Params, name: str) -> dict[str, Any]:
    tier = params.tier(name)
    return {**params.variants[name].model_dump(mode="json"), **tier.model_dump(mode="json")}


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=90)
