"""Stage `search`: ranks the variants of each approach by their last validation accuracy.

It reads only the curves of meta-training, so a choice by this rank uses no meta-test task.
"""

from megan.report import search
from megan.runs import result, storage
from megan.runs.job import Job


def run(job: Job) -> None:
    """Write `search.csv`, one row for each variant, and `record.json` with the chosen variant of each approach."""
    table = search.ranked([search.read(job.params, name) for name in job.params.variants])
    with storage.replacing_folder(job.folder) as folder:
        table.to_csv(folder / "search.csv", index=False, float_format="%.6g", lineterminator="\n")
        chosen = table[table["chosen"]]
        result.write(
            folder,
            job.identity,
            {"study": job.study, "chosen": dict(zip(chosen["approach"], chosen["variant"], strict=True))},
        )
