"""Stage `report`: every figure, and one page with what was run, the verdicts and the figures. It needs no network."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from megan.config import machine, paths
from megan.config.params import Params
from megan.report import figures, page
from megan.runs import result, storage
from megan.runs.job import Job


def run(job: Job) -> None:
    """Draw the figures, several at a time, then write the page.

    **Raises** `ReportError` for a table that lacks what a figure shows.
    """
    with storage.replacing_folder(job.folder) as folder:
        _draw(job.params, folder)
        result.write(folder, job.identity, {"study": job.study})
    storage.write_text(paths.report(job.study), page.render(job.params))


def _draw(params: Params, folder: Path) -> None:
    with ProcessPoolExecutor(min(machine.threads(), len(figures.MODULES)), get_context("fork")) as pool:
        drawn = [pool.submit(figures.draw, name, params, folder) for name in figures.MODULES]
        for one in drawn:
            one.result()
