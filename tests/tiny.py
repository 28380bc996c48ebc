"""A tiny study on random images, and what its stages leave: weights of a few meta-steps that have learned nothing."""

import json
from pathlib import Path
from typing import Any

import jobs
import numpy
import torch
import yaml

from megan import FewShotClassifier
from megan.config import params, paths
from megan.config.params import Params
from megan.data import channels, packed
from megan.data.episodes import TaskSet
from megan.meta import setup

WAYS, SIDE = 4, 28
COLOUR_SIDE, IMAGES = 20, 8
VARIANTS = {  # that the tests of megan/use train, by study
    "own": ("maml", "n_plus_1", "n_plus_1_prototype"),
    "quick": (
        "maml",
        "n_plus_1",
        "n_plus_1_prototype",
        "multi_task_label",
        "control_augmentation",
        "control_alphabet",
    ),
}
SEED, TASKS, QUERIES = 8, 2, 5  # of the tasks below
DOCUMENT = params.resolved(params.read(Path(__file__).parents[1] / "params.yaml"))


def settle(name: str = "quick", **variants: dict[str, Any]) -> Params:
    """Write parameters and packed splits into the working directory.

    **Arguments** `name`: study `quick`, of grey drawings of 28x28, or `own`, of colour images of 20x20;
    `variants`: options that differ from the shipped. All variants have the seeds 3 and 8.
    """
    document = json.loads(json.dumps(DOCUMENT))
    document["study"] = name
    document["variants"] |= document["more_variants"]
    document["more_variants"] = {}
    study = document["studies"][name]
    if name == "own":
        study["data"] |= {"side": COLOUR_SIDE}
        study["network"] |= {"filters": 8}
    study["tasks"] |= {"ways": WAYS, "shots": 2, "train_queries": 1, "test_queries": 3}
    study["inner"] |= {"steps": 3, "test_steps": 3, "learning_rate": 0.1}
    study["encoder"] |= {"steps": 1, "batch_size": 4}
    study["train"] |= {"meta_batch": 2, "validation_tasks": 2}
    study["test"] = {"sample_tasks": 2, "draws": 2, "other_queries": []}
    tier = {"meta_steps": 2, "seeds": [3, 8], "test_tasks": 4}
    study["tiers"] = {"headline": tier, "ablation": tier, "survey": tier}
    for variant, options in variants.items():
        document["variants"][variant] |= options
    paths.PARAMS.write_text(yaml.safe_dump(document), encoding="utf-8")
    generator = numpy.random.default_rng(0)
    form = (SIDE, SIDE) if name == "quick" else (COLOUR_SIDE, COLOUR_SIDE, 3)
    for part in ("train", "validation", "test"):
        images = {letter: generator.integers(0, 256, (2 * WAYS, IMAGES, *form), dtype=numpy.uint8) for letter in "AB"}
        packed.write(paths.split(name, part), images, {letter: list("abcdefgh") for letter in "AB"})
    return params.load()


def train(study: Params, variant: str) -> Path:
    """The folder of the trained variant, with the record that the stage leaves after its inputs were checked."""
    whole = jobs.job(study, "train", variant)
    if study.variant(variant).needs_encoder:
        jobs.run(study, "encoder")
        _trust_encoder(study)
        from megan.stages import registry

        encoder = paths.encoder(study.study).as_posix()
        whole.identity["inputs"] = {encoder: registry.Digests(study).of(encoder)}
    from megan.stages import train as stage

    stage.run(whole)
    return whole.folder


def _trust_encoder(study: Params) -> None:
    """Let the encoder of one step, which guesses, pass as one whose accuracy nobody asks for."""
    metrics = paths.encoder(study.study) / "metrics.json"
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"validation_accuracy": None}))
    jobs.leave_record(study, "encoder", study=study.study)


def task_set(study: Params, variant: str) -> TaskSet:
    """Some tasks of the meta-test of one seed."""
    sampler = setup.sampler(study, variant, "test", setup.workers(study))
    return TaskSet(sampler, torch.tensor([SEED]), "test", TASKS, QUERIES)


def as_given(images: torch.Tensor) -> numpy.ndarray:
    """[1, images, side, side, channels] of a task -> uint8, grey ones without the last axis, as a user has them."""
    return channels.without_axis((images[0] * 255).round().to(torch.uint8).numpy())


def some_task(study: Params, number: int = 0) -> tuple[numpy.ndarray, ...]:
    """Support and its labels, queries and theirs."""
    task = task_set(study, "maml").sample(slice(0, 1), torch.tensor([number]))
    return as_given(task.support), task.support_labels.numpy(), as_given(task.query), task.query_labels.numpy()


def fitted(study: Params, **options: Any) -> tuple[FewShotClassifier, numpy.ndarray]:
    """N+1 with the classes of a task learned, and the task's queries."""
    support, labels, queries, _ = some_task(study)
    classifier = FewShotClassifier.from_checkpoint(paths.trained(study.study, "n_plus_1"), **options)
    return classifier.fit(support, labels), queries
