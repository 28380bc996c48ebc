"""Stage `config`: writes one YAML file of parameters for each stage of the current study.

DVC compares these files, so a stage runs again only if one of its own parameters changes.
`params.yaml` is checked when it is read.
"""

import io
from typing import Any

from ruamel.yaml import YAML

from megan.runs import storage
from megan.runs.job import Job
from megan.stages import registry


def run(job: Job) -> None:
    """Write the files. Equal parameters give equal bytes."""
    with storage.replacing_folder(job.folder) as folder:
        for stage in registry.stages(job.params).values():
            if stage.name != job.stage:
                text = _text(registry.parameters(job.params, stage))
                (folder / stage.config.name).write_text(text, encoding="utf-8")


def _text(parameters: dict) -> str:
    # In Python: the writer in C breaks lines elsewhere, and DVC compares digests of these files.
    writer: Any = YAML(typ="safe", pure=True)
    stream = io.StringIO()
    writer.default_flow_style = None  # short blocks on one line
    writer.sort_base_mapping_type_on_output = False
    writer.dump(parameters, stream)
    return stream.getvalue()
