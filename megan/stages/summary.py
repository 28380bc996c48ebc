"""Stage `summary`: computes the tables and the metrics file.

They contain the variants of `params.yaml`, not those of existing folders, so that results of a
removed variant are left out.
"""

import math
from typing import Any

import pandas as pd

from megan.config import paths
from megan.data import dataset
from megan.report import inputs, tables
from megan.runs import result, storage
from megan.runs.job import Job

HEADLINE = ("maml", "n_plus_1")  # variants whose accuracies are metrics


def run(job: Job) -> None:
    """Write the tables, and `paths.metrics(study)`."""
    results = [inputs.variant_results(job.params, variant) for variant in job.params.variants]
    built = tables.build(job.study, dataset.load(job.settings.data.dataset).title, results)
    with storage.replacing_folder(job.folder) as folder:
        for name, table in built.items():
            # Six digits are finer than any interval, and rounding errors do not reach them.
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
        result.write(folder, job.identity, {"study": job.study})
    storage.write_json(paths.metrics(job.study), metrics(built))


def metrics(built: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """The metrics of `dvc metrics show`: the headline accuracies (0 to 1), their difference, and seeds.

    Only numbers that are the same in every run; no times and no host. None if a number does not exist.
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
