"""How many tasks CUDA evaluates at a time, so that no tensor grows beyond a bound."""

from megan.data.episodes import TaskSet
from megan.meta.systems import System
from megan.meta.systems.with_fakes import WithFakes
from megan.models import classifier, generator

LARGEST = 2**30  # bytes of one tensor


def tasks_at_a_time(system: System, tasks: TaskSet) -> int:
    """Tasks of every seed such that adapting to them and scoring them makes no tensor above `LARGEST`; at least one.

    The largest are the gathered patches of a convolution: the classifier's second, at a quarter of the
    image's side, and the generator's at full resolution.
    """
    sampler = tasks.sampler
    height, width = sampler.split.images.shape[2:]
    support, fakes = sampler.ways * sampler.shots, 0
    if isinstance(system, WithFakes) and system.makes_fakes:
        fakes = support * system.variant.fakes_per_real
    quarter = -(-height // 4) * -(-width // 4)
    classified = max(sampler.ways * tasks.queries, support + fakes) * quarter * (classifier.FILTERS + system.ways)
    painted = fakes * height * width * max(generator.DECODED[1], *generator.FULL)
    task = 9 * max(classified, painted) * sampler.dtype.itemsize * len(tasks.seeds)
    return max(1, LARGEST // task)
