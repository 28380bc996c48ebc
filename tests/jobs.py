"""Stages at work in tests: run one on parameters alone, without asking whether its inputs fit."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from megan.config import params as parameters
from megan.config import paths
from megan.config.params import Data, Params, Tasks
from megan.models import encoder
from megan.runs import result
from megan.runs.job import Job
from megan.stages import registry

ROOT = Path(__file__).parents[1]


def identity(params: Params, name: str, item: str = "") -> dict[str, Any]:
    """The parameters alone: no digest of inputs or code."""
    return {"parameters": registry.parameters(params, registry.find(params, name, item))}


def job(params: Params, name: str, item: str = "") -> Job:
    return Job(params, name, item, registry.find(params, name, item).folder, identity(params, name, item))


def run(params: Params, name: str, item: str = "") -> None:
    registry.run(job(params, name, item))


def leave_record(params: Params, name: str, item: str = "", **content: Any) -> None:
    """Write the record that the stage would leave beside the files that lie in its folder."""
    result.write(registry.find(params, name, item).folder, identity(params, name, item), content)


def leave_judge(params: Params, classes: int = 4) -> None:
    """An untrained judge, in place of the result of its stage."""
    options, data = params.current.judge, params.current.data
    network = encoder.resnet(classes, options.stem_stride, data.side, data.channels)
    paths.judge(params.study).mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), paths.judge(params.study) / "weights.safetensors")


def download(study: str, data: Data, gan: str = "") -> None:
    """Stage `download` of a study with this data; `gan` is the plain GAN's data set, if another."""
    registry.run(Job(_with_data(study, data, gan), "download", "", paths.raw(study), {}))


def prepare(study: str, data: Data, tasks: Tasks) -> None:
    registry.run(Job(_with_data(study, data, "", tasks), "prepare", "", paths.prepared(study), {}))


def _with_data(study: str, data: Data, gan: str, tasks: Tasks | None = None) -> Params:
    whole = parameters.load(ROOT / "params.yaml")
    quick = whole.studies["quick"]
    changed = {
        "data": data,
        "gan": quick.gan.model_copy(update={"dataset": gan or data.dataset}),
        "tasks": tasks or quick.tasks,
    }
    return whole.model_copy(update={"study": study, "studies": {study: quick.model_copy(update=changed)}})
