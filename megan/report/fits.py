"""Whether what a stage of the report reads is what the stages before it made, with the parameters at hand.

Where DVC runs the stages it sees to that itself. This is for a stage that is run by hand after
a result was edited, or an old one copied in: no wrong number may pass from there into a page.
"""

from collections.abc import Callable
from typing import Any

from megan import paths
from megan.meta import work
from megan.params import Params
from megan.report import figures, summary
from megan.report.claims import stage as claims


def check(params: Params, stage: str, name: str = "") -> None:
    """Check the inputs of `summary`, `claims`, `figure` (called `name`) or `report`.

    **Raises** `work.StaleError`: the first input that is missing, altered or of other parameters,
    and what to run.
    """
    if stage == "summary":
        _encoder(params)
        for variant in params.variants:
            _variant(params, variant)
        return
    read = figures.reads(name) if stage == "figure" else {"claims": ("tables", "samples", "gan"), "report": ("tables", "claims")}[stage]
    for source in read:
        READ[source](params)


def _encoder(params: Params) -> None:
    work.check_fits(paths.encoder(params.study), _settings(params, "encoder"), "encoder")


def _variant(params: Params, name: str) -> None:
    wanted = work.parameters(params, name)
    trained = work.check_fits(paths.trained(params.study, name), wanted, f"train@{name}")
    wanted |= {"test_tasks": params.tier(name).test_tasks} | _settings(params, "test")
    tested = work.check_fits(paths.tested(params.study, name), wanted, f"test@{name}")
    if tested.get("trained") != trained["digest"]:
        raise work.StaleError(f"{paths.tested(params.study, name)} is not of the training in {paths.trained(params.study, name)}; run: dvc repro test@{name}")


def _tables(params: Params) -> None:
    work.check_fits(paths.tables(params.study), summary.parameters(params), "summary")


def _samples(params: Params) -> None:
    work.check_fits(paths.samples(params.study), {"study": params.study} | _settings(params, "judge", "test"), "samples")


def _gan(params: Params) -> None:
    work.check_fits(paths.gan(params.study), {"study": params.study} | _settings(params, "gan"), "gan")


def _claims(params: Params) -> None:
    work.check_fits(paths.claims(params.study), claims.parameters(params), "claims")


READ: dict[str, Callable[[Params], None]] = {"tables": _tables, "samples": _samples, "gan": _gan, "claims": _claims}


def _settings(params: Params, *blocks: str) -> dict[str, Any]:
    return {block: getattr(params.current, block).model_dump(mode="json") for block in blocks}
