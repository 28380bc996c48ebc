"""Stage `claims`: a verdict on each claim of the paper and each question of our own, by the rules of docs/claims.md."""

from megan.data import dataset
from megan.report.claims import evidence
from megan.report.claims.decide import decide
from megan.report.claims.rules import ALL
from megan.report.claims.table import full, table
from megan.runs import result, storage
from megan.runs.job import Job


def run(job: Job) -> None:
    """Write `claims.csv`, one row for each claim, and `claims.json`, with all parts.

    **Raises** `ReportError` if a table lacks data that a claim needs.
    """
    rules, title = job.params.claims, dataset.load(job.settings.data.dataset).title
    decisions = decide(ALL, evidence.read(job.params), rules)
    with storage.replacing_folder(job.folder) as folder:
        table(decisions).assign(dataset=title).to_csv(
            folder / "claims.csv", index=False, float_format="%.6g", lineterminator="\n"
        )
        content = {
            "study": job.study,
            "dataset": title,
            "rules": rules.model_dump(),
            "claims": [full(one) for one in decisions],
        }
        storage.write_json(folder / "claims.json", content)
        result.write(folder, job.identity, {"study": job.study})
