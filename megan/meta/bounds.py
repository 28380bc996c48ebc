"""The number of tasks that CUDA evaluates at a time, so that no tensor exceeds a bound."""

from megan.data.episodes import TaskSet
from megan.meta.system import System
from megan.meta.with_fakes import WithFakes
from megan.models import generator
from megan.models.sizes import LAYERS, Sizes

LARGEST = 2**30  # bytes of one tensor


def tasks_at_a_time(system: System, tasks: TaskSet) -> int:
    """Tasks of every seed, at least one, such that no tensor of adaptation and scoring exceeds `LARGEST`.

    The largest tensors are the gathered patches of a convolution: one of the classifier's, or the generator's at full
    resolution.
    """
    sampler, sizes = tasks.sampler, system.sizes
    support, fakes = sampler.ways * sampler.shots, 0
    if isinstance(system, WithFakes) and system.makes_fakes:
        fakes = support * system.variant.fakes_per_real
    answered = sampler.ways * tasks.queries + fakes  # fakes may be in the query's batch
    classified = max(answered, support + fakes) * _classifier(sizes, system.ways)
    full = generator.widest(system.variant.generator) if fakes else 0
    painted = fakes * sizes.side**2 * full
    task = 9 * max(classified, painted) * sampler.dtype.itemsize * len(tasks.seeds)
    return max(1, LARGEST // task)


def _classifier(sizes: Sizes, planes: int) -> int:
    """Output pixels times input channels of the classifier's largest convolution."""
    side, most = sizes.side, 0
    for layer in range(LAYERS):
        half = -(-side // 2)
        places = side if sizes.max_pool else half
        most = max(most, places**2 * ((sizes.channels if layer == 0 else sizes.filters) + planes))
        side = half
    return most
