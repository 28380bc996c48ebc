"""Stage `report`: every figure, and one page with what was run, the verdicts and the figures. It needs no network."""

from megan.config import machine, paths
from megan.report import figures, page
from megan.runs import result, storage
from megan.runs.job import Job


def run(job: Job) -> None:
    """Draw the figures, then write the page. No figure of an earlier run stays.

    **Raises** `ReportError` for a table that lacks what a figure or the page shows.
    """
    with storage.replacing_folder(job.folder) as folder:
        figures.draw_all(job.params, folder, machine.threads())
        result.write(folder, job.identity, {"study": job.study})
    storage.write_text(paths.report(job.study), page.render(job.params))
