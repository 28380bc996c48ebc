"""Builds a variant of `params.yaml`: its system, and the task samplers of its splits."""

from dataclasses import replace

import torch

from megan.config import paths
from megan.config.params import Params
from megan.data import packed
from megan.data.episodes import Sampler
from megan.data.packed import Split
from megan.errors import MeganError
from megan.meta import systems
from megan.meta.parallel import Workers, cpu_chunk
from megan.meta.processes import Tensors
from megan.meta.system import System
from megan.models import encoder, learnt, sizes
from megan.ops import precision


class EncoderError(MeganError):
    """The encoder has learnt nothing. The message says what to change."""


def system(params: Params, name: str) -> System:
    study, variant = params.settings(name), params.variant(name)
    prototype_size = encoder.FEATURES if variant.needs_encoder else 0
    return systems.build(variant, study.inner, study.tasks.ways, sizes.of(study), prototype_size)


def workers(params: Params) -> Workers:
    """The device with chunks of tasks as large as the study's images allow."""
    return Workers(default_chunk=cpu_chunk(params.current.data.side))


def sampler(params: Params, name: str, part: str, workers: Workers) -> Sampler:
    """The sampler of split `part` on the device, with all data that the variant needs in addition to the images."""
    dtype = precision.use(params.settings(name).train.precision)
    tasks, split = params.current.tasks, _split(params, name, part, workers)
    return Sampler(split, tasks.ways, tasks.shots, tasks.scope, system(params, name).others, dtype)


def _split(params: Params, name: str, part: str, workers: Workers) -> Split:
    """Split `part`, with the encoder's embeddings for a variant that conditions on prototypes."""
    rotations = part == "train" and params.current.data.rotations
    images = packed.load(paths.split(params.study, part), rotations, workers.device)
    if not params.variant(name).needs_encoder:
        return images
    _check_encoder(params, name)
    return _embedded(images, encoder.load(params, workers.device, "encoder"), workers)


def _check_encoder(params: Params, name: str) -> None:
    """Raise `EncoderError` if a variant conditions on prototypes of an encoder that is no better than guessing."""
    metrics, steps = encoder.metrics(params, "encoder"), params.current.encoder.steps
    if not learnt.has_learnt(metrics):
        raise EncoderError(
            f"variants.{name}.conditioning = 'prototype': the encoder in {paths.encoder(params.study)}"
            f" {learnt.described(metrics)}; raise encoder.steps = {steps} ({paths.settings(params.study)}) and run"
            " dvc repro, or remove the variant"
        )


def embed(images: torch.Tensor, network: torch.nn.Module, workers: Workers) -> torch.Tensor:
    """Features [images, 512] of uint8 images [images, side, side, channels] in an encoder, computed on all cores."""
    batches = images.split(encoder.BATCH)

    def features(number: int) -> Tensors:
        return {"rows": encoder.embed(batches[number].to(workers.device), network)}

    return torch.cat([batch["rows"] for batch in workers.map(features, range(len(batches)))])


def _embedded(split: Split, network: torch.nn.Module, workers: Workers) -> Split:
    """The split with an embedding of each image, [classes, drawers, 512]; see `encoder.prototype_rows`."""
    rows = embed(split.images.flatten(0, 1), network, workers)
    return replace(split, embedding=encoder.prototype_rows(rows, network).unflatten(0, split.images.shape[:2]))
