"""Stage `config`: the parameters of each stage of the current study, a YAML file a stage.

DVC compares these files. So a stage runs again when a parameter changes that it takes, and not
when another does. Reading `params.yaml` has checked all of it.
"""

import io
from typing import Any

from ruamel.yaml import YAML

from megan.runs import storage
from megan.runs.job import Job
from megan.stages import registry


def run(job: Job) -> None:
    """Write the files, equal bytes for equal parameters."""
    with storage.replacing_folder(job.folder) as folder:
        for stage in registry.stages(job.params).values():
            if stage.name != job.stage:
                text = _text(registry.parameters(job.params, stage))
                (folder / stage.config.name).write_text(text, encoding="utf-8")


def _text(parameters: dict) -> str:
    writer: Any = YAML(typ="safe")
    stream = io.StringIO()
    writer.default_flow_style = None  # short blocks on one line
    writer.sort_base_mapping_type_on_output = False
    writer.dump(parameters, stream)
    return stream.getvalue()
