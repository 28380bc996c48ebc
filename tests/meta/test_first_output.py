"""The generator's first output: grey, or with the ink of the data."""

import math

import numpy
import pytest
import torch

from megan.data import packed
from megan.data.episodes import Sampler
from megan.meta import first_output
from megan.meta.gradient import per_task

SEEDS = torch.tensor([0, 5])


@pytest.fixture
def sampler(tmp_path):
    """Colour images, 8 pixels square, with much of the first channel and little of the third."""
    source = numpy.random.default_rng(0)
    images = (source.random((7, 5, 8, 8, 3)) * [200, 100, 20]).astype(numpy.uint8)
    packed.write(tmp_path / "train", {"A": images}, {"A": list("abcdefg")})
    return Sampler(packed.load(tmp_path / "train"), 3, 1, "any")


@pytest.fixture
def system(make_system):
    from megan.models.sizes import Sizes

    def make(**options):
        sizes = Sizes(side=8, channels=3, filters=4, max_pool=False, flat=False)
        return make_system(approach="n_plus_1", sizes=sizes, **options)

    return make


def means(system, weights, sampler):
    """Mean of the first fakes by seed and channel, one fake and one pixel at a time."""
    rows = []
    for index in range(len(SEEDS)):
        episodes = sampler.sample(SEEDS[index : index + 1], "first_output", 0, torch.arange(first_output.TASKS), 1)
        own = per_task({name: value[index : index + 1] for name, value in weights.items()}, first_output.TASKS)
        fakes = system.fakes(own, episodes, 0).detach().reshape(-1, 3).tolist()
        rows.append([math.fsum(pixel[channel] for pixel in fakes) / len(fakes) for channel in range(3)])
    return rows


@pytest.mark.parametrize("generator", ["standard", "fcn", "authors"])
def test_the_first_fakes_have_the_ink_of_the_data(system, sampler, generator):
    options = {"generator": generator, "first_output": "ink"}
    weights = system(**options).initial_weights(SEEDS, torch.float32)
    first_output.set_bias(system(**options), weights, sampler, SEEDS)
    pixels = sampler.split.images.reshape(-1, 3).tolist()
    ink = [sum(pixel[channel] for pixel in pixels) / len(pixels) / 255 for channel in range(3)]
    assert ink == pytest.approx([0.39, 0.19, 0.037], abs=0.01)
    for row in means(system(**options), weights, sampler):
        assert row == pytest.approx(ink, abs=1e-5)
    assert not torch.equal(weights["gen.bias"][0], weights["gen.bias"][1]), "each seed has its own first fakes"


@pytest.mark.parametrize("options", [{}, {"fake_source": "noise", "first_output": "ink"}])
def test_grey_has_no_bias_and_other_fakes_none_to_set(system, sampler, options):
    weights = system(**options).initial_weights(SEEDS, torch.float32)
    before = {name: value.clone() for name, value in weights.items()}
    first_output.set_bias(system(**options), weights, sampler, SEEDS)
    assert all(torch.equal(value, before[name]) for name, value in weights.items())
    if not options:
        assert not weights["gen.bias"].any()
        assert all(0.3 < mean < 0.7 for row in means(system(), weights, sampler) for mean in row)
