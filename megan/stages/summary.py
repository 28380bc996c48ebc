"""Stage `summary`: the tidy tables and the metrics file.

It goes through the variants of `params.yaml` and never through the folders it finds, so
that results of a removed variant stay out.
"""

import math
from typing import Any

import pandas as pd

from megan.config import paths
from megan.data import dataset
from megan.report import inputs, tables
from megan.runs import result, storage
from megan.runs.job import Job

HEADLINE = ("maml", "n_plus_1")  # whose accuracies are metrics


def run(job: Job) -> None:
    """Write the tables, and `paths.metrics(study)`."""
    results = [inputs.variant_results(job.params, variant) for variant in job.params.variants]
    built = tables.build(job.study, dataset.load(job.settings.data.dataset).title, results)
    with storage.replacing_folder(job.folder) as folder:
        for name, table in built.items():
            # Six digits are more than any interval resolves and fewer than rounding moves.
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
        result.write(folder, job.identity, {"study": job.study})
    storage.write_json(paths.metrics(job.study), metrics(built))


def metrics(built: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """What `dvc metrics show` prints: the headline accuracies (0 to 1), their difference, and seeds.

    Only numbers that a rerun repeats: no times, no host. None where there is no such number.
    """
    accuracy, compared = (built[name].set_index("variant") for name in ("accuracy", "comparisons"))
    found: dict[str, Any] = {name: _rounded(accuracy["accuracy"].get(name, math.nan)) for name in HEADLINE}
    found["difference"] = _rounded(compared["difference"].get(HEADLINE[1], math.nan))
    found["difference_ci95"] = _rounded(compared["ci95_seeds"].get(HEADLINE[1], math.nan))
    found["seeds"] = int(compared["seeds"].get(HEADLINE[1], 0))
    found["diverged_seeds"] = int(accuracy["diverged"].sum())
    return found


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)
