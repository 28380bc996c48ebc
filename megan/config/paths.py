"""The only place that knows where files live.

Every path is relative to the repository's root, which is the working directory of
every stage: DVC and Snakemake both start their commands there.
"""

from pathlib import Path

PARAMS = Path("params.yaml")
DOWNLOADS = Path("data/downloads")  # partial and verified archives, shared by all studies
RECORD = Path("results/record")  # committed copies of finished studies; DVC keeps away from what git tracks
RESUME = Path(".resume")  # state of unfinished work; no stage declares it


def raw(study: str) -> Path:
    """Archives of the study's data set, or the manifest of an embedded one."""
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
    """Folder of the parameters that each stage takes, a YAML file a stage."""
    return results(study) / "config"


def provenance(study: str, stage: str) -> Path:
    """What made a stage's result and how long it took: nothing that repeats, so no stage reads it."""
    return results(study) / "provenance" / f"{stage}.json"


def encoder(study: str) -> Path:
    """Folder of the encoder's `weights.safetensors`, `metrics.json`, `record.json`."""
    return results(study) / "encoder"


def judge(study: str) -> Path:
    """Folder of the judge, an encoder that conditions no generator: the same files."""
    return results(study) / "judge"


def gan(study: str) -> Path:
    """Folder of the plain GAN's `samples.safetensors`, `quality.csv`, `losses.csv`, `record.json`."""
    return results(study) / "gan"


def trained(study: str, variant: str) -> Path:
    """Folder of a meta-trained variant: `weights.safetensors`, `curve.csv`, `record.json`."""
    return results(study) / "train" / variant


def tested(study: str, variant: str) -> Path:
    """Folder of a meta-tested variant: `tasks.csv`, `steps.csv`, `queries.csv`, `record.json`; of its fakes
    `samples.safetensors` and `critic.csv`.
    """
    return results(study) / "test" / variant


def samples(study: str) -> Path:
    """Folder of what the judge found: `realism.csv`, `tasks.csv`, `grids.safetensors`, `record.json`."""
    return results(study) / "samples"


def metrics(study: str) -> Path:
    """The one metrics file that `dvc metrics show` reads."""
    return results(study) / "metrics.json"


def tables(study: str) -> Path:
    """Folder of the tidy tables: `curves.csv`, `accuracy.csv`, `comparisons.csv`, `steps.csv`."""
    return results(study) / "tables"


def claims(study: str) -> Path:
    """Folder of the verdicts: `claims.csv`, `claims.json`."""
    return results(study) / "claims"


def figures(study: str) -> Path:
    return results(study) / "figures"


def shown(study: str) -> Path:
    """Pictures of single tasks that `python -m megan show` was asked for; no stage reads or makes them."""
    return results(study) / "shown"


def report(study: str) -> Path:
    """The page of figures and verdicts."""
    return results(study) / "report.html"
