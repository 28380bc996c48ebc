"""The paths of all files. No other module defines them.

Paths are relative to the root of the repository. DVC and Snakemake start every stage there.
"""

from pathlib import Path

PARAMS = Path("params.yaml")
STUDIES = Path("studies")  # studies in a folder of their own: a file of parameters and a pipeline each
DOWNLOADS = Path("data/downloads")  # partial and verified archives, shared by all studies
RECORD = Path("results/record")  # copies of finished studies in git; DVC does not manage them
RESUME = Path(".resume")  # state of unfinished work; not an output of any stage


def own_params(study: str) -> Path:
    """The file of parameters of a study in a folder of its own."""
    return STUDIES / study / "params.yaml"


def settings(study: str) -> str:
    """Where the settings of a study are written, as errors name it."""
    own = own_params(study)
    return f"{own}: settings" if own.is_file() else f"params.yaml: studies.{study}"


def pipeline(study: str) -> str:
    """What precedes a stage's name in DVC's commands: "" for the `dvc.yaml` at the root."""
    return f"{STUDIES}/{study}/dvc.yaml:" if own_params(study).is_file() else ""


def raw(study: str) -> Path:
    """Archives of the study's data set, or the manifest of the embedded one."""
    return Path("data/raw") / study


def prepared(study: str) -> Path:
    """Folder of `train.safetensors`, `validation.safetensors`, `test.safetensors`, `splits.json`."""
    return Path("data/prepared") / study


def split(study: str, name: str) -> Path:
    """Packed images of one split: `train`, `validation` or `test`."""
    return prepared(study) / f"{name}.safetensors"


def results(study: str) -> Path:
    return Path("results") / study


def config(study: str) -> Path:
    """Folder with one YAML file of parameters for each stage."""
    return results(study) / "config"


def provenance(study: str, stage: str) -> Path:
    """Versions, device and time of a stage's run. They differ from run to run, so no stage reads them."""
    return results(study) / "provenance" / f"{stage}.json"


def encoder(study: str) -> Path:
    """Folder of the encoder's `weights.safetensors`, `metrics.json`, `record.json`."""
    return results(study) / "encoder"


def judge(study: str) -> Path:
    """Folder of the judge, a second encoder that no generator uses; the same files as `encoder`."""
    return results(study) / "judge"


def gan(study: str) -> Path:
    """Folder of the plain GAN's `samples.safetensors`, `quality.csv`, `losses.csv`, `record.json`."""
    return results(study) / "gan"


def trained(study: str, variant: str) -> Path:
    """Folder of a meta-trained variant: `weights.safetensors`, `curve.csv`, `record.json`; if the study asks for
    snapshots also `snapshots.safetensors`.
    """
    return results(study) / "train" / variant


def tested(study: str, variant: str) -> Path:
    """Folder of a meta-tested variant: `tasks.csv`, `steps.csv`, `queries.csv`, `record.json`; if it has fakes
    also `realism.csv`, `real.csv`, `fakes.csv` and `shown.safetensors`. If training kept snapshots also
    `snapshots.csv`, and with fakes `snapshot_realism.csv` and `shown_snapshots.safetensors`.
    """
    return results(study) / "test" / variant


def samples(study: str) -> Path:
    """Folder of the measurements of fakes: `realism.csv`, `tasks.csv`, `snapshots.csv`, `grids.safetensors`,
    `record.json`.
    """
    return results(study) / "samples"


def metrics(study: str) -> Path:
    """The metrics file that `dvc metrics show` reads."""
    return results(study) / "metrics.json"


def tables(study: str) -> Path:
    """Folder of the tables: `curves.csv`, `accuracy.csv`, `comparisons.csv`, `steps.csv`."""
    return results(study) / "tables"


def claims(study: str) -> Path:
    """Folder of the verdicts: `claims.csv`, `claims.json`."""
    return results(study) / "claims"


def figures(study: str) -> Path:
    return results(study) / "figures"


def shown(study: str) -> Path:
    """Pictures of single tasks that `python -m megan show` was asked for; no stage reads or makes them."""
    return results(study) / "shown"


def compared(study: str) -> Path:
    """Pictures of two variants that `python -m megan compare` was asked for; no stage reads or makes them."""
    return results(study) / "compare"


def report(study: str) -> Path:
    """The report page with figures and verdicts."""
    return results(study) / "report.html"
