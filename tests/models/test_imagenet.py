"""Prototypes from ImageNet. The real weights are 45 MB of network, so a file of random weights stands in for them."""

import hashlib
import json

import jobs
import numpy
import pytest
import torch
import torch.nn.functional as F
import yaml

from megan.config import params, paths
from megan.data import imagenet as weights_file
from megan.data import packed
from megan.errors import DataError
from megan.meta import setup
from megan.models import encoder, imagenet

DOCUMENT = params.resolved(params.read())


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """A mirror with a file like torchvision's, and the network that its weights are of."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = resnet18(weights=None).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after training
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    mirror = tmp_path_factory.mktemp("mirror")
    file = mirror / weights_file.SOURCE.name
    file.parent.mkdir()
    torch.save(network.state_dict(), file)
    return mirror, network, hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def study(stand_in, tmp_path, monkeypatch):
    """A working directory with prepared images of four characters, whose study asks for ImageNet's weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEGAN_DEVICE", "cpu")
    monkeypatch.setenv("MEGAN_THREADS", "1")
    monkeypatch.setenv("MEGAN_MIRROR", str(stand_in[0]))
    monkeypatch.setattr(weights_file, "DIGEST", stand_in[2][:8])
    images = {"A": numpy.random.default_rng(0).integers(0, 256, (4, 3, 28, 28), dtype=numpy.uint8)}
    packed.write(paths.split("quick", "train"), images, {"A": list("abcd")})
    (paths.prepared("quick") / "splits.json").write_text('{"ink": true}')
    document = json.loads(json.dumps(DOCUMENT)) | {"study": "quick"}
    document["studies"]["quick"]["encoder"]["weights"] = "imagenet"
    document["studies"]["quick"]["tasks"] |= {"ways": 2, "shots": 2}
    document["variants"]["n_plus_1"]["conditioning"] = "prototype"
    paths.PARAMS.write_text(yaml.safe_dump(document), encoding="utf-8")
    return params.load()


def plainly(network, image):
    """The pooled features of one uint8 image [28, 28] with ink = 255, step by step."""
    paper = 1 - image.double() / 255
    large = torch.zeros(224, 224, dtype=torch.float64)
    for row in range(224):
        for column in range(224):
            large[row, column] = paper[row // 8, column // 8]
    channels = zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    x = torch.stack([(large - mean) / deviation for mean, deviation in channels])[None].float()
    x = network.maxpool(F.relu(network.bn1(network.conv1(x))))
    x = network.layer4(network.layer3(network.layer2(network.layer1(x))))
    return x.mean(dim=(2, 3))[0]


@torch.no_grad()
def test_the_embedding_is_the_pooled_features_of_the_enlarged_image(study, stand_in):
    jobs.run(study, "download")
    jobs.run(study, "encoder")
    network = encoder.load(study, "cpu", "encoder")
    assert not network.training
    images = packed.load(paths.split("quick", "train")).images
    wanted = torch.stack([plainly(stand_in[1], image) for image in images[:2, :, :, :, 0].flatten(0, 1)])
    found = encoder.embed(images[:2].flatten(0, 1), network)
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-4) and float(wanted.std()) > 0.01

    sampler = setup.sampler(study, "n_plus_1", "train", setup.workers(study))
    sampled = sampler.sample(torch.tensor([0]), "train", 0, torch.tensor([0]), 1)
    bright = (255 * sampled.support[0, ..., 0]).round().to(torch.uint8)
    of_class = [torch.stack([plainly(stand_in[1], image) for image in some]).mean(dim=0) for some in bright.split(2)]
    assert torch.allclose(sampled.prototypes[0], torch.stack(of_class), rtol=1e-3, atol=1e-4)


def test_colour_goes_in_as_it_is(stand_in):
    network = imagenet.network(stand_in[1].state_dict(), dark=False)
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    scaled = torch.stack([(x[:, c] - imagenet.MEAN[c]) / imagenet.DEVIATION[c] for c in range(3)], dim=1)
    body = torch.nn.Sequential(*list(stand_in[1].children())[:-1])
    with torch.no_grad():
        assert torch.allclose(network(x), body(scaled).flatten(1), atol=1e-5)


def test_a_file_put_there_by_hand_needs_no_mirror(study, stand_in, monkeypatch):
    monkeypatch.delenv("MEGAN_MIRROR")
    own = paths.DOWNLOADS / weights_file.SOURCE.name
    own.parent.mkdir(parents=True)
    own.write_bytes((stand_in[0] / weights_file.SOURCE.name).read_bytes())
    jobs.run(study, "download")
    jobs.run(study, "encoder")
    metrics = json.loads((paths.encoder("quick") / "metrics.json").read_text())
    assert metrics == {"validation_accuracy": None, "validation_drawings": 0, "classes": 1000, "dark": True}


def test_another_file_is_refused(study, monkeypatch):
    monkeypatch.setattr(weights_file, "DIGEST", "f37072fd")
    with pytest.raises(DataError, match="expected f37072fd.*encoder.weights = 'imagenet' needs resnet18-f37072fd.pth"):
        jobs.run(study, "download")
    assert not paths.raw("quick").exists()


def test_what_is_not_a_resnets_weights_is_refused_and_no_code_of_it_runs(study, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    jobs.run(study, "download")
    file = weights_file.path(paths.raw("quick"))
    for content in ({"evil": Evil()}, {"conv1.weight": torch.zeros(3)}, [1, 2]):
        torch.save(content, file)
        with pytest.raises(DataError, match="holds no weights of torchvision's ResNet-18"):
            jobs.run(study, "encoder")
    assert not (tmp_path / "ran").exists()
    file.unlink()
    with pytest.raises(DataError, match="does not exist"):
        jobs.run(study, "encoder")


def test_the_address_and_digest_are_torchvisions():
    from torchvision.models import ResNet18_Weights

    assert ResNet18_Weights.IMAGENET1K_V1.url == weights_file.ADDRESS
    assert weights_file.ADDRESS.endswith(f"{weights_file.DIGEST}.pth")
