"""Stage `summary`: the tidy tables and the metrics file.

It goes through the variants of `params.yaml` and never through the folders it finds, so
that results of a removed variant stay out.
"""

import json
import math
from typing import Any

import pandas as pd

from megan.config import paths
from megan.report import inputs, tables
from megan.runs import result, storage
from megan.runs.job import Job


def run(job: Job) -> None:
    """Write the tables, and `paths.metrics(study)`."""
    results = [inputs.variant_results(job.params, variant) for variant in job.params.variants]
    encoder = json.loads((paths.encoder(job.study) / "metrics.json").read_text(encoding="utf-8"))
    built = tables.build(job.study, results)
    with storage.replacing_folder(job.folder) as folder:
        for name, table in built.items():
            # Six digits are more than any interval resolves and fewer than rounding moves.
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
        result.write(folder, job.identity, {"study": job.study})
    storage.write_json(paths.metrics(job.study), _metrics(job.study, built["accuracy"], encoder))


def _metrics(study: str, table: pd.DataFrame, encoder: dict[str, Any]) -> dict[str, Any]:
    """What `dvc metrics show` prints. Holds only what a rerun repeats: no times, no host."""
    variants = {
        row.variant: {
            "accuracy": _rounded(row.accuracy),
            "ci95_seeds": _rounded(row.ci95_seeds),
            "ci95_tasks": _rounded(row.ci95_tasks),
            "seeds": int(row.seeds),
            "diverged": int(row.diverged),
        }
        for row in table.itertuples()
    }
    return {
        "study": study,
        "encoder": {"validation_accuracy": _rounded(encoder["validation_accuracy"])},
        "variants": variants,
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)
