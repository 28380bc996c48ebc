"""Stage `report`: one page with what was run, the verdicts and every figure. It needs no network."""

from megan.report import page
from megan.runs import storage
from megan.runs.job import Job


def run(job: Job) -> None:
    """Write the page.

    **Raises** `ReportError` when a figure is missing or torn.
    """
    storage.write_text(job.folder, page.render(job.params))
