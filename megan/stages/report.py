"""Stage `report`: draws all figures, and writes one page with settings, verdicts and figures. Needs no network.

Beside the figures lies `paper.csv`, the paper's numbers and ours.
"""

from megan.config import machine, paths
from megan.report import figures, page, paper_table
from megan.runs import result, storage
from megan.runs.job import Job


def run(job: Job) -> None:
    """Draw the figures, then write the page. Figures of earlier runs are removed.

    **Raises** `ReportError` if a table lacks data that a figure or the page shows.
    """
    with storage.replacing_folder(job.folder) as folder:
        figures.draw_all(job.params, folder, machine.threads())
        labels = {name: own.label for name, own in job.params.styles.items()}
        meta_batch = job.params.current.train.meta_batch
        beside = paper_table.build(job.study, labels, paths.tables(job.study), meta_batch)
        beside.to_csv(folder / paper_table.NAME, index=False, float_format="%.6g", lineterminator="\n")
        result.write(folder, job.identity, {"study": job.study})
    storage.write_text(paths.report(job.study), page.render(job.params))
