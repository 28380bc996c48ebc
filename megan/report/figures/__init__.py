"""The figures, a module each, imported only when drawn."""

from importlib import import_module

from megan import paths
from megan.params import Params
from megan.report.inputs import ReportError

MODULES = {
    "convergence": "megan.report.figures.convergence",
    "accuracy": "megan.report.figures.accuracy",
    "adaptation": "megan.report.figures.adaptation",
}


def run(name: str, params: Params) -> None:
    """Draw one figure of the current study into `paths.figures(study)`, from its tables alone.

    **Raises** `ReportError` for a name that is not in `MODULES`, or a missing table.
    """
    if name not in MODULES:
        raise ReportError(f"unknown figure {name!r}; expected one of: {', '.join(MODULES)}")
    figure = import_module(MODULES[name])
    figure.draw(paths.tables(params.study), paths.figures(params.study), params.styles)
