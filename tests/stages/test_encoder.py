"""The stages `encoder` and `judge`: they learn, resume to the same weights, and differ.

They see only meta-training characters.
"""

import json

import jobs
import numpy
import pytest
import torch
import yaml
from safetensors.torch import load_file

from megan.config import params, paths
from megan.data import packed
from megan.models import encoder, pretraining

DOCUMENT = params.resolved(params.read())


@pytest.fixture(params=[8])
def study(request, tmp_path, monkeypatch):
    """A working directory whose only split is `train`: small images of four characters.

    The characters differ in which quarter is bright.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEGAN_DEVICE", "cpu")
    monkeypatch.setenv("MEGAN_THREADS", "1")
    generator = numpy.random.default_rng(0)
    images = generator.integers(0, 100, (4, 20, 12, 12), dtype=numpy.uint8)
    for character in range(4):
        row, column = 6 * (character // 2), 6 * (character % 2)
        images[character, :, row : row + 6, column : column + 6] += 100
    packed.write(paths.split("quick", "train"), {"A": images}, {"A": list("abcd")})
    document = json.loads(json.dumps(DOCUMENT))
    document["study"] = "quick"
    for which in ("encoder", "judge"):
        document["studies"]["quick"][which] |= {"steps": request.param, "batch_size": 16, "stem_stride": 2}
    paths.PARAMS.write_text(yaml.safe_dump(document), encoding="utf-8")
    return params.load()


def weights(which="encoder"):
    return load_file(getattr(paths, which)("quick") / "weights.safetensors")


@pytest.mark.parametrize("study", [40], indirect=True)
def test_it_learns_and_says_how_well(study):
    jobs.run(study, "encoder")
    metrics = json.loads((paths.encoder("quick") / "metrics.json").read_text())
    assert metrics["classes"] == 4 and metrics["validation_drawings"] == 16
    assert metrics["validation_accuracy"] > 0.6, "no better than the four classes' 0.25"
    network = encoder.load(study, "cpu", "encoder")
    embedding = encoder.features(network, torch.rand(3, 1, 28, 28))
    assert embedding.shape == (3, encoder.FEATURES)
    assert not network.training, "prototypes must not depend on what else is in the batch"


def test_a_stopped_run_goes_on_to_the_same_weights(study, monkeypatch):
    jobs.run(study, "encoder")
    undisturbed = weights()
    (paths.encoder("quick") / "record.json").unlink()

    batches = []
    draw = pretraining._batch

    def stopped(*arguments):
        batches.append(arguments[3])
        if len(batches) == 5:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(pretraining, "SAVE_EVERY", 2)
    monkeypatch.setattr(pretraining, "_batch", stopped)
    with pytest.raises(KeyboardInterrupt):
        jobs.run(study, "encoder")
    jobs.run(study, "encoder")
    assert batches == [0, 1, 2, 3, 4, 4, 5, 6, 7], "the second run did not go on from the last checkpoint"
    again = weights()
    assert all(torch.equal(again[name], value) for name, value in undisturbed.items())


@pytest.mark.parametrize("study", [2], indirect=True)
def test_the_judge_is_another_network_in_its_own_place(study):
    """Made by the same code from its own block, without reading or touching the encoder."""
    jobs.run(study, "judge")
    assert not paths.encoder("quick").exists()
    record = json.loads((paths.judge("quick") / "record.json").read_text())
    assert record["parameters"] == {"study": "quick", "judge": study.current.judge.model_dump()}
    assert json.loads(paths.provenance("quick", "judge").read_text())["wall_seconds"] > 0
    assert not encoder.load(study, "cpu", "judge").training
    jobs.run(study, "encoder")
    ours, other = weights("judge"), weights("encoder")
    assert ours.keys() == other.keys() and not torch.equal(ours["conv1.weight"], other["conv1.weight"])


def test_batches_of_encoder_and_judge_differ_even_for_one_seed():
    images = torch.arange(400, dtype=torch.uint8).view(20, 20, 1, 1)
    encoder_batch, judge_batch = (pretraining._batch(images, 0, which, 0, 30)[1] for which in ("encoder", "judge"))
    assert not torch.equal(encoder_batch, judge_batch)


def test_the_stem_keeps_small_images_from_vanishing():
    for stride, side, channels, size in ((1, 28, 1, 4), (2, 28, 1, 2), (2, 84, 3, 3), (2, 56, 3, 4)):
        network = encoder.resnet(3, stride, side, channels).eval()
        body = torch.nn.Sequential(*list(network.children())[:-2])
        assert body(torch.zeros(1, channels, side, side)).shape == (1, 512, size, size)
