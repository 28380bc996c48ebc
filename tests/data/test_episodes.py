"""The task sampler and its streams: what a task is, and that it depends only on its key."""

import numpy
import pytest
import torch

from megan.data import packed
from megan.data.episodes import Sampler, TaskSet
from megan.ops import streams


@pytest.fixture
def split(tmp_path):
    """Three alphabets of 6, 4 and 9 characters; two pixels tell the class and the drawing."""
    sizes = {"A": 6, "B": 4, "C": 9}
    blocks, start = {}, 0
    for name, size in sizes.items():
        block = numpy.zeros((size, 20, 4, 4), dtype=numpy.uint8)
        block[:, :, 0, 0] = numpy.arange(start, start + size)[:, None]
        block[:, :, 0, 1] = numpy.arange(20)[None]
        blocks[name], start = block, start + size
    names = {name: [f"{number}" for number in range(size)] for name, size in sizes.items()}
    packed.write(tmp_path / "split.safetensors", blocks, names)
    return packed.load(tmp_path / "split.safetensors")


def sample(split, seeds=(0,), purpose="train", step=0, tasks=50, scope="alphabet", ways=5, shots=2, queries=3):
    sampler = Sampler(split, ways, shots, scope, dtype=torch.float64)
    return sampler.sample(torch.tensor(seeds), purpose, step, torch.arange(tasks), queries)


def decode(images):
    """Class and drawing of each image, from the two pixels that tell."""
    pixels = (images[..., 0] * 255).round().long()
    return pixels[:, :, 0, 0], pixels[:, :, 0, 1]


@pytest.mark.parametrize("scope", ["alphabet", "any"])
def test_a_task_is_what_the_paper_says(split, scope):
    tasks = sample(split, scope=scope)
    assert tasks.support.shape == (50, 10, 4, 4, 1) and tasks.query.shape == (50, 15, 4, 4, 1)
    support_class, support_drawing = decode(tasks.support)
    query_class, query_drawing = decode(tasks.query)
    assert torch.equal(support_class, tasks.classes[:, tasks.support_labels])
    assert torch.equal(query_class, tasks.classes[:, tasks.query_labels])
    for task in range(50):
        classes = tasks.classes[task]
        assert len(classes.unique()) == 5
        if scope == "alphabet":
            assert len(split.alphabet[classes].unique()) == 1
        for label in range(5):
            drawings = torch.cat(
                [support_drawing[task][tasks.support_labels == label], query_drawing[task][tasks.query_labels == label]]
            )
            assert len(drawings.unique()) == 5, "a drawing serves twice in a task"
    alphabets = {int(split.alphabet[classes[0]]) for classes in tasks.classes}
    assert alphabets == ({0, 2} if scope == "alphabet" else alphabets), (
        "the alphabet of 4 characters cannot make 5 ways"
    )


def test_tasks_depend_on_their_key_alone(split):
    many, few = sample(split, seeds=(3, 4), tasks=8), sample(split, seeds=(4,), tasks=3)
    assert torch.equal(many.support[8:11], few.support)
    assert not torch.equal(many.support[:3], few.support), "seeds share their tasks"
    for other in (sample(split, step=1), sample(split, purpose="test")):
        assert not torch.equal(other.classes, sample(split).classes)


def test_more_queries_leave_the_support_as_it_is(split):
    assert torch.equal(sample(split, queries=3).support, sample(split, queries=9).support)


def test_classes_and_drawings_are_uniform(split):
    tasks = sample(split, tasks=4000, scope="any")
    counts = tasks.classes.flatten().bincount(minlength=19).double()
    expected = 4000 * 5 / 19
    # Chi-square with 18 degrees of freedom: 42.3 is exceeded once in a thousand.
    assert float(((counts - expected) ** 2 / expected).sum()) < 42.3
    drawings = decode(tasks.support)[1].flatten().bincount(minlength=20).double()
    assert float(((drawings - 2000) ** 2 / 2000).sum()) < 43.8


def test_too_many_ways_is_refused(split):
    with pytest.raises(ValueError, match="10 classes"):
        sample(split, ways=10)
    with pytest.raises(ValueError, match="20 ways"):
        sample(split, ways=20, scope="any")


def test_bits_are_splitmix64():
    """Against the published algorithm in Python's unbounded integers."""

    def mix(z):
        mask = (1 << 64) - 1
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    key = 1234567
    wanted = [mix(mix((key + count * 0x9E3779B97F4A7C15) & ((1 << 64) - 1))) for count in (1, 2, 3)]
    found = [value % (1 << 64) for value in streams.bits(torch.tensor(key), 3).tolist()]
    assert found == wanted


def test_normal_draws_are_normal_and_prefix_stable():
    key = streams.key(torch.tensor([0]), "noise", 0, torch.arange(1))[0, 0]
    draws = streams.normal(key, 100_000)
    assert abs(float(draws.mean())) < 0.015 and abs(float(draws.std()) - 1) < 0.01
    assert abs(float((draws.abs() > 1.96).double().mean()) - 0.05) < 0.003
    assert torch.equal(streams.normal(key, 7), draws[:7])


@pytest.mark.parametrize("others", [0, 1])
def test_the_alphabet_of_each_task_is_that_of_its_classes(split, others):
    sampler, seeds = Sampler(split, 2, 1, "alphabet", others=others), torch.tensor([3, 7])
    drawn = sampler.sample(seeds, "test", 0, torch.arange(20), 3).classes
    tasks = TaskSet(sampler, seeds, "test", 20, 3)
    assert torch.equal(sampler.classes(seeds, "test", 0, torch.arange(20)), drawn)
    assert tasks.alphabets() == [split.alphabet_names[int(split.alphabet[row])] for row in drawn[:, 0]]


def test_a_task_of_several_alphabets_has_none(split):
    sampler, seeds = Sampler(split, 5, 1, "any"), torch.tensor([0])
    found = TaskSet(sampler, seeds, "test", 50, 3).alphabets()
    rows = split.alphabet[sampler.classes(seeds, "test", 0, torch.arange(50))]
    assert [name == "" for name in found] == [len(set(row)) > 1 for row in rows.tolist()] and "" in found
