"""The network of the authors' code: its maps, its initial weights, what it shares between variants."""

import math
from dataclasses import replace

import pytest
import torch

from megan.models import classifier
from megan.models.classifier import Branch
from megan.models.sizes import Sizes
from megan.ops import kernels

AUTHORS = Sizes(side=28, channels=1, filters=64, max_pool=False, flat=True, authors=True, relu_first=True)


def weights(branch: Branch) -> dict[str, torch.Tensor]:
    return classifier.initial_weights(torch.tensor([0, 1]), branch, torch.float32)


def test_maps_are_28_13_6_2_1(monkeypatch):
    maps, original = [], kernels.conv

    def seen(x, w, *sizes):
        maps.append((x.shape[2], (z := original(x, w, *sizes)).shape[2]))
        return z

    monkeypatch.setattr(kernels, "conv", seen)
    branch = Branch("cls", 5, AUTHORS)
    out = classifier.logits(weights(branch), branch, torch.rand(2, 3, 28, 28, 1))
    assert maps == [(28, 13), (13, 6), (6, 2)] and out.shape == (2, 3, 5)
    assert weights(branch)["cls.conv3"].shape == (2, 2, 2, 64, 64), "the last kernel covers the map, to one pixel"


@pytest.mark.parametrize(("side", "kernel"), [(15, 1), (28, 2), (52, 5), (84, 9)])
def test_the_last_kernel_covers_the_map_that_is_left(side, kernel):
    branch = Branch("cls", 5, replace(AUTHORS, side=side, channels=3, filters=4))
    assert weights(branch)["cls.conv3"].shape == (2, kernel, kernel, 4, 4)
    assert classifier.logits(weights(branch), branch, torch.rand(2, 3, side, side, 3)).shape == (2, 3, 5)


def test_initial_weights_are_he_et_als():
    found = weights(Branch("cls", 5, AUTHORS))
    for name, fan_in in (("conv0", 9), ("conv1", 9 * 64), ("conv2", 9 * 64), ("conv3", 4 * 64), ("head", 64)):
        values = found[f"cls.{name}"]
        assert float(values.std()) == pytest.approx(math.sqrt(2 / fan_in), rel=5 / math.sqrt(values.numel())), name
    assert not any(found[f"cls.bias{layer}"].any() for layer in ("", 0, 1, 2, 3))


def test_planes_and_outputs_do_not_change_the_other_draws():
    plain, wide = weights(Branch("cls", 5, AUTHORS)), weights(Branch("cls", 6, AUTHORS, planes=1))
    for name, value in plain.items():
        part = wide[name][..., :1, :] if name == "cls.conv0" else wide[name][..., : value.shape[-1]]
        assert torch.equal(part, value), name
