"""The stage `gan`: GANs do not affect one another and resume to the same result.

Their numbers tell copies and noise.
"""

import json
import math

import jobs
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from megan.config import params, paths
from megan.config.schema import Gan
from megan.data import dataset, glyphs
from megan.data.scripts import SCRIPTS
from megan.data.sets import fashion_mnist
from megan.data.sets import glyphs as glyph_set
from megan.gan import image_classifier, networks, quality, training
from megan.gan import images as gan_images
from megan.stages import gan as stage

DOCUMENT = params.resolved(params.read())
TINY = {
    "dataset": "glyphs",
    "images_of": "class",
    "images": [3, 1],
    "classes": 2,
    "updates": 3,
    "batch_size": 4,
    "learning_rate": 0.001,
    "noise_size": 5,
    "seeds": [0, 4],
}
OPTIONS = Gan(**TINY)


def resize(monkeypatch, **sizes):
    """Other sizes, in every module that names them."""
    for module in (dataset, glyph_set, fashion_mnist, training, quality, image_classifier, stage):
        for name in sizes.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, sizes[name])


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    resize(monkeypatch, HELD=6, POOL=8, APART=5, LETTERS=3, LOG_EVERY=1, SHOWN=2, SHOWN_MIXED=7, STEPS=3, BATCH=8)
    monkeypatch.setenv("MEGAN_DEVICE", "cpu")
    monkeypatch.setenv("MEGAN_THREADS", "1")


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A working directory with the glyphs' manifest and parameters of a tiny stage."""
    monkeypatch.chdir(tmp_path)
    document = json.loads(json.dumps(DOCUMENT))
    document["study"] = "quick"
    document["studies"]["quick"]["gan"] = TINY
    paths.PARAMS.write_text(yaml.safe_dump(document), encoding="utf-8")
    read = params.load()
    jobs.run(read, "download")
    return read


def reals(count=3, classes=2, seeds=2):
    return torch.randint(
        0, 256, (seeds, classes, count, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def nothing():
    pass


def test_what_it_leaves(study):
    jobs.run(study, "gan")
    folder = paths.gan("quick")
    table = pd.read_csv(folder / "quality.csv")
    assert list(table.columns) == list(quality.QUALITY)
    assert [tuple(row) for row in table[["images", "seed", "class"]].to_numpy()] == [
        (k, s, c) for k in (3, 1) for s in (0, 4) for c in (0, 1)
    ]
    assert (table["updates"] == 3).all() and table.notna().all(axis=None)
    assert (table["kid_low"] <= table["kid_high"]).all()
    samples = load_file(folder / "samples.safetensors")
    assert {name: (*value.shape,) for name, value in samples.items()} == {
        name: (2, 2, 2, 28, 28) for name in ("K3", "K1")
    } | {"training": (2, 2, 2, 28, 28)}
    losses = pd.read_csv(folder / "losses.csv")
    assert len(losses) == 2 * 2 * 2 * 3 and losses.notna().all(axis=None)
    record = json.loads((folder / "record.json").read_text())
    assert (
        record["diverged"] == []
        and record["dataset"] == "glyphs"
        and record["classes"] == [f"Latin U+{ord(one):04X}" for one in SCRIPTS["Latin"].characters[:2]]
    )
    assert json.loads(paths.provenance("quick", "gan").read_text())["wall_seconds"] > 0
    assert not list(paths.RESUME.rglob("state.safetensors"))


def test_mixed_classes_make_one_gan_of_each_seed(study, monkeypatch):
    document = yaml.safe_load(paths.PARAMS.read_text(encoding="utf-8"))
    document["studies"]["quick"]["gan"] |= {"images_of": "all", "images": [9, 1]}
    paths.PARAMS.write_text(yaml.safe_dump(document), encoding="utf-8")
    loaded = params.load()
    seen = []
    train = training.train
    monkeypatch.setattr(stage, "train", lambda images, *others: seen.append(images) or train(images, *others))
    jobs.run(loaded, "gan")
    folder = paths.gan("quick")
    table = pd.read_csv(folder / "quality.csv")
    assert [tuple(row) for row in table[["images", "seed", "class"]].to_numpy()] == [
        (k, s, 0) for k in (9, 1) for s in (0, 4)
    ]
    assert table.notna().all(axis=None)
    samples = load_file(folder / "samples.safetensors")
    assert {name: (*value.shape[:3],) for name, value in samples.items()} == {
        "K9": (2, 1, 6), "K1": (2, 1, 6), "training": (2, 1, 7)
    }  # fmt: skip
    record = json.loads((folder / "record.json").read_text())
    assert record["classes"] == ["all classes"] and record["images_of"] == "all"

    # Slowly: every image that a GAN saw, looked up among those of each class.
    images = gan_images.real_images("quick", loaded.current.gan)
    assert [some.shape[:3] for some in seen] == [(2, 1, 9), (2, 1, 1)]
    for seed in range(2):
        of_class = [
            [label for label in range(2) if any(torch.equal(image, one) for one in images.train[label])]
            for image in seen[0][seed, 0]
        ]
        assert all(len(found) == 1 for found in of_class), "an image is of no class, or of several"
        assert {found[0] for found in of_class} == {0, 1}, "the nine are of one class"
        assert torch.equal(seen[1][seed, 0, 0], seen[0][seed, 0, 0]), "a larger K keeps the images of a smaller"
        assert len({image.numpy().tobytes() for image in seen[0][seed, 0]}) == 9


def test_held_out_images_of_mixed_classes_are_as_many_and_take_turns(study):
    by_class = gan_images.real_images("quick", OPTIONS)
    together = gan_images.mixed(by_class)
    assert together.train.shape[:2] == (1, 16) and together.held.shape[:2] == (1, 6)
    for place in range(6):
        assert torch.equal(together.held[0, place], by_class.held[place % 2, place // 2])


def test_a_stopped_run_goes_on_to_the_same_result(study, monkeypatch):
    names = ("quality.csv", "losses.csv", "samples.safetensors")
    jobs.run(study, "gan")
    undisturbed = [(paths.gan("quick") / name).read_bytes() for name in names]
    (paths.gan("quick") / "record.json").unlink()

    train, counts = training.train, []

    def stopped(images, *others):
        counts.append(images.shape[2])
        if len(counts) == 2:
            raise KeyboardInterrupt
        return train(images, *others)

    monkeypatch.setattr(stage, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        jobs.run(study, "gan")
    jobs.run(study, "gan")
    assert counts == [3, 1, 1], "the second run did not go on from the last K"
    assert [(paths.gan("quick") / name).read_bytes() for name in names] == undisturbed


def test_a_gan_does_not_depend_on_the_others():
    images = reals()
    together = training.train(images, OPTIONS, nothing)
    alone = training.train(images[1:], OPTIONS.model_copy(update={"seeds": (4,)}), nothing)
    assert torch.allclose(together.samples[1:], alone.samples, atol=1e-5)
    assert not torch.allclose(together.samples[0], together.samples[1], atol=1e-2)
    assert not torch.allclose(together.samples[:, 0], together.samples[:, 1], atol=1e-2)


def test_a_diverged_gan_is_said_to_be_and_touches_no_other(study, monkeypatch):
    sound = training.train(reals(), OPTIONS, nothing)
    weights = networks.generator_weights

    def spoilt(keys, noise_size):
        made = weights(keys, noise_size)
        made["code"][2] = torch.nan  # seed 4, class 0
        return made

    monkeypatch.setattr(networks, "generator_weights", spoilt)
    trained = training.train(reals(), OPTIONS, nothing)
    assert trained.updates.tolist() == [[3, 3], [0, 3]]
    assert trained.samples[1, 0].isnan().all()
    for place in ((0, 0), (0, 1), (1, 1)):
        assert torch.allclose(trained.samples[place], sound.samples[place], atol=1e-5)
    jobs.run(study, "gan")
    table = pd.read_csv(paths.gan("quick") / "quality.csv")
    lost = table[table["kid"].isna()]
    assert lost[["images", "class", "seed", "updates"]].to_numpy().tolist() == [[3, 0, 4, 0], [1, 0, 4, 0]]
    record = json.loads((paths.gan("quick") / "record.json").read_text())
    assert record["diverged"] == lost[["images", "class", "seed", "updates"]].to_dict("records")


def test_it_learns_the_one_image_that_it_is_given():
    """With K = 1 a plain picture is copied: so training works at all, and `nearest` shows the copy."""
    image = torch.zeros(1, 1, 1, 28, 28, dtype=torch.uint8)
    image[..., 8:20, 8:20] = 255
    options = Gan(
        **{**TINY, "images": [1], "classes": 1, "updates": 150, "batch_size": 8, "learning_rate": 0.002, "seeds": [0]}
    )
    distance = [
        image_classifier.nearest(
            training.train(image, options.model_copy(update={"updates": updates}), nothing).samples[0, 0],
            image[0, 0] / 255,
        )
        for updates in (1, 150)
    ]
    assert distance[1] < 0.5 * distance[0]


def test_fewer_images_are_the_first_of_more():
    chosen = training.choose(OPTIONS, 50, "cpu")
    assert chosen.shape == (2, 2, 3)
    assert torch.equal(training.choose(OPTIONS, 50, "cpu")[:, :, :1], chosen[:, :, :1])
    assert len(set(map(tuple, chosen.flatten(0, 1).tolist()))) == 4, "a class or seed has the images of another"


def test_held_out_glyphs_are_further_drawings_of_the_same_characters(study):
    images = gan_images.real_images("quick", OPTIONS)
    assert images.train.shape == (2, 8, 28, 28) and images.held.shape == (2, 6, 28, 28)
    assert images.apart.shape == (3, 5, 28, 28), "the judge learns all classes"
    everything = glyphs.draw(SCRIPTS["Latin"].characters[:2], 19)
    assert np.array_equal(torch.cat([images.apart[:2], images.train, images.held], dim=1), everything)
    assert len({drawing.tobytes() for drawing in everything.reshape(-1, 784)}) == 38
    assert np.array_equal(everything[:, :5], glyphs.draw(SCRIPTS["Latin"].characters[:2], 5)), (
        "a drawing depends on how many there are"
    )


def test_fashion_mnist_keeps_its_own_split(monkeypatch):
    parts = {"train": np.zeros((10, 9, 28, 28), np.uint8), "test": np.ones((10, 9, 28, 28), np.uint8)}
    parts["train"][:, 4:] = 2
    monkeypatch.setattr(fashion_mnist, "read", lambda folder: (parts, {"some.gz": "0"}))
    images = gan_images.real_images("quick", OPTIONS.model_copy(update={"dataset": "fashion_mnist"}))
    assert images.train.shape == (2, 4, 28, 28) and not images.train.any()
    assert images.apart.shape == (10, 5, 28, 28) and (images.apart == 2).all()
    assert images.held.shape == (2, 6, 28, 28) and images.held.all()
    assert images.names == ["T-shirt", "Trouser"]


def test_quality_tells_noise_collapse_and_copies_from_reals(study, monkeypatch):
    resize(monkeypatch, HELD=40, POOL=120, APART=120, STEPS=60, BATCH=64)
    options = OPTIONS.model_copy(update={"seeds": (0,)})
    images = gan_images.real_images("quick", options)
    network = quality.classifier(images.apart, options, "cpu", {})
    assert image_classifier.accuracy(network, images.held) > 0.8
    few = images.train[None, :, :3]
    updates = torch.full((1, 2), 3)

    def row(samples):
        rows = quality.quality(training.Trained(samples, updates, torch.empty(0)), few, images, network, options)
        return dict(zip(quality.QUALITY, rows[0], strict=True))

    real = row(images.train[None, :, 60:100] / 255)
    noise = row(torch.rand(1, 2, 40, 28, 28, generator=torch.Generator().manual_seed(0)))
    copies = row(few[:, :, [0]].expand(-1, -1, 40, -1, -1) / 255)
    assert abs(real["kid"]) < copies["kid"] < noise["kid"]
    assert copies["collapse"] == pytest.approx(1) and real["collapse"] < 0.99
    assert copies["nearest"] == 0 < real["nearest"] < noise["nearest"]
    assert real["nearest"] == pytest.approx(real["nearest_real"], rel=0.2)


def test_noisy_or_equal_pictures_have_known_distances():
    known = torch.zeros(2, 28, 28)
    known[1] = 1
    assert image_classifier.nearest(torch.full((3, 28, 28), 0.75), known) == pytest.approx(0.25)


def test_networks_have_the_shapes_they_say():
    keys = torch.arange(3)
    made = networks.generate(networks.generator_weights(keys, 5), torch.randn(3, 4, 5))
    assert made.shape == (3, 4, 28, 28, 1) and made.abs().max() <= 1
    assert networks.discriminate(networks.discriminator_weights(keys), made).shape == (3, 4)
    x = torch.rand(2, 3, 4, 6, 5)
    assert torch.equal(networks._double(networks._halve(x)), x)
    top = torch.zeros(1, 1, 4, 4, 1)
    top[0, 0, 2, 1] = 1
    assert networks._halve(top)[0, 0, 1, 0].sum() == 1, "a pixel leaves its neighbourhood"
    assert math.prod(networks.features(networks.classifier(2), torch.rand(3, 1, 28, 28)).shape) == 3 * networks.FEATURES
