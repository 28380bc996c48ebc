"""`megan.FewShotClassifier`: the predictions of a meta-test to the bit, and what a meta-test does not have."""

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file
from sklearn.base import clone
from tiny import SEED, TASKS, as_given, some_task, task_set

from megan import FewShotClassifier
from megan.config import paths
from megan.meta import setup
from megan.meta.adapt import adapt
from megan.meta.evaluate import Evaluation
from megan.use.classifier import ClassifierError

N_PLUS_1 = paths.trained("quick", "n_plus_1")
TESTED = [(study, name) for study, names in tiny.VARIANTS.items() for name in names if name != "control_alphabet"]


# The same task gives the same predictions as in meta-testing


@pytest.mark.parametrize("name, variant", TESTED)
def test_predictions_are_those_of_the_meta_test(studies, name, variant):
    study, folder = studies[name], paths.trained(name, variant)
    system, tasks = setup.system(study, variant), task_set(study, variant)
    row = study.tier(variant).seeds.index(SEED)
    weights = {name: value[row : row + 1] for name, value in load_file(folder / "weights.safetensors").items()}
    scores = Evaluation(system, tasks, setup.workers(study), every_step=False)(weights)
    for number in range(TASKS):
        task = tasks.sample(slice(0, 1), torch.tensor([number]))
        adapted = adapt(system, weights, task, system.inner.test_steps, differentiable=False)
        wanted = system.answer(adapted, task, system.inner.test_steps)[0, :, : tiny.WAYS].detach()
        classifier = FewShotClassifier.from_checkpoint(folder, seed=SEED, random_state=number)
        classifier.fit(as_given(task.support), task.support_labels.numpy())
        assert all(torch.equal(classifier.weights_[name], value) for name, value in adapted.items())
        queries, labels = as_given(task.query), task.query_labels.numpy()
        assert np.array_equal(classifier.predict_proba(queries), wanted.softmax(dim=-1).numpy())
        assert np.array_equal(classifier.predict(queries), wanted.argmax(dim=-1).numpy())
        assert classifier.score(queries, labels) == float(scores.accuracy[0, number, -1])


def test_another_stream_makes_other_fakes(study):
    support, labels, queries, _ = some_task(study)
    for variant, alike in (("maml", True), ("n_plus_1", False)):
        first, second = (
            FewShotClassifier(paths.trained("quick", variant), random_state=number).fit(support, labels)
            for number in (0, 1)
        )
        assert np.array_equal(first.predict_proba(queries), second.predict_proba(queries)) == alike


def test_the_best_seed_is_taken_unless_one_is_named(study):
    import pandas

    curve = pandas.read_csv(N_PLUS_1 / "curve.csv").query("split == 'validation'")
    best = int(curve.loc[curve["accuracy"].idxmax(), "seed"])
    assert tiny.fitted(study)[0].trained_.seed == best
    assert tiny.fitted(study, seed=11 - best)[0].trained_.seed == 11 - best  # the seeds are 3 and 8


# What a meta-test does not have


def test_fewer_classes_use_the_first_outputs(study):
    """The network is the trained one, the labels are its first ones, and no other output is an answer."""
    support, labels, queries, _ = some_task(study)
    kept, names = labels < 3, np.array(["z", "a", "m", "q"])
    classifier = FewShotClassifier(N_PLUS_1).fit(support[kept], names[labels[kept]])
    assert list(classifier.classes_) == ["a", "m", "z"]
    found = classifier.predict_proba(queries)
    assert found.shape == (len(queries), 3) and found.sum(axis=1) == pytest.approx(1)
    assert set(classifier.predict(queries)) <= {"a", "m", "z"}
    assert classifier.weights_["cls.head"].shape[-1] == tiny.WAYS + 1
    system = setup.system(study, "n_plus_1")
    images = torch.from_numpy(queries)[None, ..., None].float() / 255
    logits = system.classify(classifier.weights_, images)[0, :, :3]
    assert np.array_equal(found, logits.softmax(dim=-1).numpy())


def test_more_classes_than_trained_say_what_to_train(study):
    images = np.zeros((tiny.WAYS + 1, tiny.SIDE, tiny.SIDE), np.uint8)
    with pytest.raises(
        ClassifierError, match=r"holds 5 classes.*tasks.ways: 5 in study quick.*dvc repro train@n_plus_1"
    ):
        FewShotClassifier(N_PLUS_1).fit(images, np.arange(tiny.WAYS + 1))
    with pytest.raises(ClassifierError, match="one class, 1.0: expected at least two"):
        FewShotClassifier(N_PLUS_1).fit(images, np.ones(tiny.WAYS + 1))


def test_classes_of_different_numbers_of_images(study):
    """Every image counts the same in the loss, wherever it stands in `fit`'s arguments."""
    support, labels, queries, _ = some_task(study)
    few = np.r_[0, 2:8]  # one image of class 0, two of each other
    for variant in ("maml", "n_plus_1_prototype"):
        classifier = FewShotClassifier(paths.trained("quick", variant)).fit(support[few], labels[few])
        mixed = np.array([5, 0, 3, 1, 6, 4, 2])  # the order within a class stays
        again = clone(classifier).fit(support[few][mixed], labels[few][mixed])
        assert np.array_equal(classifier.predict_proba(queries), again.predict_proba(queries))
    loss = torch.nn.functional.cross_entropy
    system, classifier = setup.system(study, "maml"), FewShotClassifier(paths.trained("quick", "maml"))
    classifier.fit(support[few], labels[few])
    weights = {name: value.clone().requires_grad_() for name, value in classifier.trained_.weights.items()}
    for _ in range(system.inner.test_steps):
        logits = system.classify(weights, torch.from_numpy(support[few])[None, ..., None].float() / 255)[0]
        slopes = torch.autograd.grad(loss(logits, torch.from_numpy(labels[few])), list(weights.values()))
        weights = {
            name: (weight - 0.1 * slope).detach().requires_grad_()
            for (name, weight), slope in zip(weights.items(), slopes, strict=True)
        }
    assert all(torch.allclose(classifier.weights_[name], value, atol=1e-5) for name, value in weights.items())


def test_fakes_that_nobody_can_give(study):
    support, labels, _, _ = some_task(study)
    with pytest.raises(ClassifierError, match="control_alphabet are images of other classes"):
        FewShotClassifier(paths.trained("quick", "control_alphabet")).fit(support, labels)


def test_statistics_of_the_support_make_each_image_independent(study):
    classifier, queries = tiny.fitted(study, statistics="support")
    together = classifier.predict_proba(queries)
    alone = np.concatenate([classifier.predict_proba(query[None]) for query in queries])
    assert together == pytest.approx(alone, abs=1e-6)
    classifier.set_params(statistics="queries")
    alone = np.concatenate([classifier.predict_proba(query[None]) for query in queries])
    assert np.abs(classifier.predict_proba(queries) - alone).max() > 1e-3
