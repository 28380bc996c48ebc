"""Stage `figure`: draw one figure of the current study."""

from megan.report import figures
from megan.runs.job import Job


def run(job: Job) -> None:
    """Write the figure `job.item` as PNG and SVG.

    **Raises** `ReportError` for a table that lacks what the figure shows.
    """
    figures.draw(job.item, job.params)
