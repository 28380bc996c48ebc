"""Stage `report`: draws all figures, and writes one page with settings, verdicts and figures. Needs no network."""

from megan.config import machine, paths
from megan.report import figures, page
from megan.runs import result, storage
from megan.runs.job import Job


def run(job: Job) -> None:
    """Draw the figures, then write the page. Figures of earlier runs are removed.

    **Raises** `ReportError` if a table lacks data that a figure or the page shows.
    """
    with storage.replacing_folder(job.folder) as folder:
        figures.draw_all(job.params, folder, machine.threads())
        result.write(folder, job.identity, {"study": job.study})
    storage.write_text(paths.report(job.study), page.render(job.params))
