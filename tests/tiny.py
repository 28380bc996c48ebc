"""A tiny study on random images, and what its stages leave: weights of a few meta-steps that have learned nothing."""

import json
from pathlib import Path
from typing import Any

import jobs
import numpy
import yaml

from megan.config import params, paths
from megan.config.params import Params
from megan.data import packed

WAYS, SIDE = 4, 28
DOCUMENT = params.resolved(params.read(Path(__file__).parents[1] / "params.yaml"))


def settle(**variants: dict[str, Any]) -> Params:
    """Write parameters and packed splits into the working directory. `variants`: options that differ from the shipped.

    All variants have the seeds 3 and 8.
    """
    document = json.loads(json.dumps(DOCUMENT))
    document["study"] = "quick"
    study = document["studies"]["quick"]
    study["tasks"] |= {"ways": WAYS, "shots": 2, "train_queries": 1, "test_queries": 3}
    study["inner"] |= {"steps": 3, "test_steps": 3, "learning_rate": 0.1}
    study["encoder"] |= {"steps": 1, "batch_size": 4}
    study["train"] |= {"meta_batch": 2, "validation_tasks": 2}
    study["test"] = {"sample_tasks": 2, "draws": 2, "other_queries": []}
    tier = {"meta_steps": 2, "seeds": [3, 8], "test_tasks": 4}
    study["tiers"] = {"headline": tier, "ablation": tier, "survey": tier}
    for name, options in variants.items():
        document["variants"][name] |= options
    paths.PARAMS.write_text(yaml.safe_dump(document), encoding="utf-8")
    generator = numpy.random.default_rng(0)
    for name in ("train", "validation", "test"):
        images = {letter: generator.integers(0, 256, (2 * WAYS, 20, SIDE, SIDE), dtype=numpy.uint8) for letter in "AB"}
        packed.write(paths.split("quick", name), images, {letter: list("abcdefgh") for letter in "AB"})
    return params.load()


def train(study: Params, variant: str) -> Path:
    """The folder of the trained variant, with the record that the stage leaves after its inputs were checked."""
    whole = jobs.job(study, "train", variant)
    if study.variant(variant).needs_encoder:
        jobs.run(study, "encoder")
        from megan.stages import registry

        encoder = paths.encoder(study.study).as_posix()
        whole.identity["inputs"] = {encoder: registry.Digests(study).of(encoder)}
    from megan.stages import train as stage

    stage.run(whole)
    return whole.folder
