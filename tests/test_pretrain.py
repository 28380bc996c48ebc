"""The stage `encoder`: it learns, resumes to the same weights, and sees meta-training characters only."""

import json

import numpy
import pytest
import torch
import yaml
from safetensors.torch import load_file

from megan import params, paths, pretrain
from megan.data import packed
from megan.meta import prototypes
from megan.models import encoder

DOCUMENT = yaml.safe_load(paths.PARAMS.read_text(encoding="utf-8"))


@pytest.fixture(params=[8])
def study(request, tmp_path, monkeypatch):
    """A working directory whose only split is `train`: small images of four characters that differ by a bright quarter."""
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
    document["studies"]["quick"]["encoder"] |= {"steps": request.param, "batch_size": 16, "stem_stride": 2}
    paths.PARAMS.write_text(yaml.safe_dump(document), encoding="utf-8")
    return params.load()


def weights():
    return load_file(paths.encoder("quick") / "weights.safetensors")


@pytest.mark.parametrize("study", [40], indirect=True)
def test_it_learns_and_says_how_well(study):
    pretrain.run(study)
    metrics = json.loads((paths.encoder("quick") / "metrics.json").read_text())
    assert metrics["classes"] == 4 and metrics["validation_drawings"] == 16
    assert metrics["validation_accuracy"] > 0.6, "no better than the four classes' 0.25"
    network = prototypes.load(study, "cpu")
    embedding = encoder.features(network, torch.rand(3, 1, 28, 28))
    assert embedding.shape == (3, encoder.FEATURES)
    assert not network.training, "prototypes must not depend on what else is in the batch"


def test_a_stopped_run_goes_on_to_the_same_weights(study, monkeypatch):
    pretrain.run(study)
    undisturbed = weights()
    (paths.encoder("quick") / "record.json").unlink()

    batches = []
    draw = pretrain._batch

    def stopped(*arguments):
        batches.append(arguments[2])
        if len(batches) == 5:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(pretrain, "SAVE_EVERY", 2)
    monkeypatch.setattr(pretrain, "_batch", stopped)
    with pytest.raises(KeyboardInterrupt):
        pretrain.run(study)
    pretrain.run(study)
    assert batches == [0, 1, 2, 3, 4, 4, 5, 6, 7], "the second run did not go on from the last checkpoint"
    again = weights()
    assert all(torch.equal(again[name], value) for name, value in undisturbed.items())


def test_the_stem_keeps_small_images_from_vanishing():
    for stride, size in ((1, 4), (2, 2)):
        network = encoder.resnet(3, stride).eval()
        body = torch.nn.Sequential(*list(network.children())[:-2])
        assert body(torch.zeros(1, 1, 28, 28)).shape == (1, 512, size, size)
