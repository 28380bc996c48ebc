"""The figures, in the order of the report page. Only `FIGURES` lists them.

A figure of an existing kind is one row in `comparisons` or `samples`. A figure of a new kind is a module
here with a function `build(*folders, styles)`, and one row in `FIGURES`.
"""

from importlib import import_module
from pathlib import Path

from megan.config import paths
from megan.config.params import Params
from megan.report.figures import comparisons, samples
from megan.report.figures.entry import Entry

FIGURES = {
    entry.name: entry
    for entry in (
        Entry("convergence"),
        *comparisons.N_PLUS_1,
        Entry("shared_layers"),
        *comparisons.MULTI_TASK,
        Entry("accuracy"),
        Entry("adaptation"),
        Entry("examples", reads=("tables", "samples")),
        *samples.FAKES,
        Entry("plain_gan", reads=("gan",)),
        Entry("realism", reads=("tables", "samples")),
        Entry("convergence_others", folded=True),
    )
}


def draw(name: str, params: Params, folder: Path) -> None:
    """Draw one figure of the current study into a folder that exists: `name.png`, `name.svg`, `name.json`.

    It is empty if it shows a stage that waits, as in a provisional record (`Params.waiting`).

    **Raises** `ReportError` for a name that is not in `FIGURES`, or an input that is missing or damaged.
    """
    # Imported here, so that reading the list of figures does not import pandas and matplotlib.
    from megan.report import curves, picture
    from megan.report.inputs import ReportError

    if name not in FIGURES:
        raise ReportError(f"unknown figure {name!r}; expected one of: {', '.join(FIGURES)}")
    waiting = sorted(set(FIGURES[name].reads) & set(params.waiting))
    if waiting:
        drawn = curves.nothing(name.replace("_", " ").capitalize(), f"Stage {waiting[0]} has not been run yet.")
    else:
        sources = [getattr(paths, read)(params.study) for read in FIGURES[name].reads]
        drawn = FIGURES[name].build(sources, params.styles)
    picture.save(drawn, folder, name)


def draw_all(params: Params, folder: Path, processes: int = 1) -> None:
    """Draw every figure into a folder that exists, with at most `processes` processes.

    **Raises** `ReportError` as `draw` does, for the first figure that fails.
    """
    from megan.report import forks

    import_module("megan.report.picture")  # once, for all processes
    forks.each(lambda name: draw(name, params, folder), list(FIGURES), processes)
