"""Reads a meta-trained variant from disk: its system, and the weights of one of its seeds.

It is stored in the folder of a stage `train` with all its seeds, or in a record (docs/record.md) with one.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import safetensors
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor, nn

from megan import record
from megan.config import machine, paths
from megan.config.params import Params, Study, Variant
from megan.config.schema import PrototypeEncoder
from megan.data import dataset
from megan.errors import MeganError
from megan.meta import setup
from megan.meta.system import System
from megan.models import encoder
from megan.models.initial import Weights
from megan.runs import result, storage
from megan.stages import registry

WEIGHTS = "weights.safetensors"
NEEDED = ("data", "tasks", "inner", "network", "train")  # blocks of a study that its training uses


class CheckpointError(MeganError, ValueError):
    """A folder holds no trained variant, or not the requested one; the message says what to do."""


@dataclass(frozen=True)
class Trained:
    """One seed of a meta-trained variant."""

    params: Params  # the study as the training had it, with this variant alone
    variant: str
    seed: int
    system: System
    weights: Weights  # [1, ...] each
    encoder: nn.Module | None = None  # where prototypes condition the generator

    @property
    def study(self) -> str:
        return self.params.study

    @property
    def ways(self) -> int:
        """The number of classes in a task of meta-training."""
        return self.system.ways

    @property
    def side(self) -> int:
        """Height and width of an image, in pixels."""
        return self.params.current.data.side

    @property
    def channels(self) -> int:
        """Channels of an image: 1 is grey, 3 is colour."""
        return self.params.current.data.channels

    @property
    def ink(self) -> bool:
        """Whether its data set has 255 as ink, where files show dark ink on light paper."""
        found = dataset.load(self.params.current.data.dataset).characters
        return found is not None and found.ink

    @property
    def device(self) -> torch.device:
        return next(iter(self.weights.values())).device


def probabilities(logits: Tensor, classes: int) -> Tensor:
    """The softmax of the first `classes` outputs: [..., outputs] -> [..., classes].

    The other outputs are not classes of the task: the output "fake" of N+1, and those of classes that a task does
    not have. So the class with the largest probability is the one that a meta-test counts.
    """
    return logits[..., :classes].softmax(dim=-1)


def load(path: str | os.PathLike[str], variant: str | None = None, seed: int | None = None) -> Trained:
    """Read a trained variant, and check every file against its digest.

    **Arguments** `path`: `results/<study>/train/<variant>`, or a record with weights, `results/record/<study>`, or
    the folder of a variant in it;
    `variant`: which one, needed for a record that holds several; `seed`: which one, else that with the best
    accuracy on validation tasks.
    **Raises** `CheckpointError` for a folder that holds neither, a variant or seed that it lacks, and a seed that
    diverged; `StaleError` or `RecordError` for files that are not what their record describes.
    """
    folder = Path(path)
    if _is_record(folder):
        return _of_record(folder, variant, seed)
    if (folder / result.RECORD).is_file():
        if _is_record(whole := folder.parent.parent):  # which has no weights in the folders of its variants
            return _of_record(whole, variant or folder.name, seed)
        return _of_training(folder, variant, seed)
    raise CheckpointError(
        f"{folder} is no checkpoint: it holds neither {result.RECORD}, as results/<study>/train/<variant> does, nor"
        f" {record.MANIFEST}, as a record does; train a variant with `dvc repro train@<variant>` and give its folder"
    )


def recorded(params: Params, variant: str) -> bool:
    """Whether the study's record holds weights of the variant.

    **Raises** `StaleError` if they were trained with other parameters than the present ones.
    """
    folder = paths.RECORD / params.study
    if not (folder / "weights" / f"{variant}.safetensors").is_file():
        return False
    made, stage = result.load(folder / "train" / variant), registry.find(params, "train", variant)
    result.check_parameters(folder / "train" / variant, made, registry.parameters(params, stage), stage.target)
    return True


def _is_record(folder: Path) -> bool:
    return (folder / record.MANIFEST).is_file()


def _of_training(folder: Path, variant: str | None, seed: int | None) -> Trained:
    made = result.verified(folder, f"train@{folder.name}")
    if WEIGHTS not in made["files"] or not isinstance(made.get("variant"), str):
        raise CheckpointError(f"{folder} is not the result of a stage train: its {result.RECORD} lists no {WEIGHTS}")
    if variant not in (None, made["variant"]):
        raise CheckpointError(f"{folder} holds variant {made['variant']!r}, not {variant!r}")
    seeds = made["seeds"]
    if seed is None:
        healthy = [one for one in seeds if str(one) not in made["diverged"]]
        if not healthy:
            raise CheckpointError(f"{folder}: every seed diverged, so there are no weights to use; train again")
        best = record.best_checkpoint(folder, made)
        seed = healthy[0] if best is None else int(best["seed"])  # None: a study without validation
    if seed not in seeds:
        raise CheckpointError(f"{folder} has no seed {seed}; expected one of: {', '.join(map(str, seeds))}")
    if str(seed) in made["diverged"]:
        raise CheckpointError(f"{folder}: seed {seed} diverged in training; leave the seed out, or choose another")
    row = seeds.index(seed)
    weights = {name: value[row : row + 1].contiguous() for name, value in _weights(folder / WEIGHTS).items()}
    return _built(made, weights, seed, folder.parent.parent)


def _of_record(folder: Path, variant: str | None, seed: int | None) -> Trained:
    study = record.verify(folder)["study"]
    held = sorted(path.stem for path in (folder / "weights").glob("*.safetensors"))
    if not held:
        raise CheckpointError(
            f"{folder} holds no weights; make the record with `python -m megan record --weights MIB`, or give"
            f" results/{study}/train/<variant>"
        )
    if variant is None and len(held) > 1:
        raise CheckpointError(f"{folder} holds the weights of {', '.join(held)}; say which by `variant`")
    name = variant or held[0]
    if name not in held:
        raise CheckpointError(f"{folder} holds no weights of variant {name!r}; it has those of: {', '.join(held)}")
    path = folder / "weights" / f"{name}.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        kept = int((file.metadata() or {})["seed"])
    if seed not in (None, kept):
        raise CheckpointError(f"{path} holds seed {kept}, the best on validation tasks, not {seed}")
    made = result.load(folder / "train" / name)
    return _built(made, {key: value[None] for key, value in _weights(path).items()}, kept, folder)


def _weights(path: Path) -> Weights:
    """Half precision, which a record may have, is widened: nothing is computed in it."""
    read = load_file(path, device=machine.device())
    return {name: value.float() if value.dtype == torch.half else value for name, value in read.items()}


def _built(made: dict[str, Any], weights: Weights, seed: int, results: Path) -> Trained:
    """The variant that `record.json` of its training describes; `results`: the folder with its encoder."""
    params, name = _params(made), made["variant"]
    network = None
    if params.variant(name).needs_encoder:
        device = next(iter(weights.values())).device
        network = _encoder(results / paths.encoder(params.study).name, made, params, device)
    return Trained(params, name, seed, setup.system(params, name), weights, network)


def _params(made: dict[str, Any]) -> Params:
    """The parameters that the training had: its blocks of the study, and its variant.

    **Raises** `CheckpointError` for those of another version of this package.
    """
    study, name = made["study"], made["variant"]
    try:
        stored = made["parameters"]
        blocks: dict[str, Any] = {
            block: kind(**stored[block])
            for block, kind in get_type_hints(Study).items()
            if block in stored or block in NEEDED
        }
        own = stored["variant"] | {"settings": {}}  # the blocks have the variant's settings already
        variant = Variant(**own, tier="survey", label=name, colour="#000000")
    except (ValidationError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{study}/train/{name} was made by another version of this package ({' '.join(str(error).split())});"
            f" check that version out, or run: dvc repro train@{name}"
        ) from None
    whole = Study.model_construct(**blocks)
    return Params.model_construct(study=study, studies={study: whole}, variants={name: variant})


def _encoder(folder: Path, made: dict[str, Any], params: Params, device: torch.device) -> nn.Module:
    """The encoder that the variant was trained with, in eval mode."""
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(
            f"variant {made['variant']} conditions its generator on prototypes, and their encoder is not in {folder};"
            " keep it there, as `dvc repro encoder` leaves it"
        )
    verified = result.verified(folder, "encoder")
    wanted = made.get("inputs", {}).get(paths.encoder(params.study).as_posix())
    if wanted != storage.digest_file(folder / result.RECORD):  # as the registry takes the digest of an input
        raise CheckpointError(
            f"{folder} is not the encoder that variant {made['variant']} was trained with; run: dvc repro"
        )
    return encoder.read(folder, PrototypeEncoder(**verified["parameters"]["encoder"]), params.current.data, str(device))
