"""The figures, a module each, imported only when drawn."""

from importlib import import_module
from pathlib import Path

from megan.config import paths
from megan.config.params import Params
from megan.report.inputs import ReportError

MODULES = {
    "convergence": "megan.report.figures.convergence",
    "weighting": "megan.report.figures.weighting",
    "outer_losses": "megan.report.figures.outer_losses",
    "shared_layers": "megan.report.figures.shared_layers",
    "gan_losses": "megan.report.figures.gan_losses",
    "conditioning_accuracy": "megan.report.figures.conditioning_accuracy",
    "accuracy": "megan.report.figures.accuracy",
    "adaptation": "megan.report.figures.adaptation",
    "examples": "megan.report.figures.examples",
    "conditioning_samples": "megan.report.figures.conditioning_samples",
    "generators": "megan.report.figures.generators",
    "plain_gan": "megan.report.figures.plain_gan",
    "realism": "megan.report.figures.realism",
}


def reads(name: str) -> tuple[str, ...]:
    """The folders that a figure reads, as `paths` names them. Raises `ReportError` for a name that is not in `MODULES`."""
    if name not in MODULES:
        raise ReportError(f"unknown figure {name!r}; expected one of: {', '.join(MODULES)}")
    return getattr(import_module(MODULES[name]), "READS", ("tables",))


def draw(name: str, params: Params, out: Path | None = None) -> None:
    """Draw one figure of the current study into `out`, or else into `paths.figures(study)`.

    It reads the study's tables, or the folders that the module's `READS` names as `paths` does.
    **Raises** `ReportError` for a name that is not in `MODULES`, or a missing table.
    """
    sources = [getattr(paths, folder)(params.study) for folder in reads(name)]
    import_module(MODULES[name]).draw(*sources, out or paths.figures(params.study), params.styles)
