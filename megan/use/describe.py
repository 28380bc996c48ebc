"""Describes a variant: its options, numbers of weights, and the memory and time of its training and test here.

Memory and time are measured in a few meta-iterations on images of noise, since they do not depend on the content of
images. So neither data nor a trained variant is needed.
"""

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch
import yaml

from megan.config.params import Params
from megan.data.episodes import Sampler, TaskSet
from megan.data.packed import Split
from megan.meta import setup
from megan.meta.evaluate import Evaluation
from megan.meta.iteration import OuterLoop, State, iteration
from megan.meta.parallel import Workers
from megan.models import encoder
from megan.runs import progress

ITERATIONS = 3  # meta-iterations that are timed, after one that starts processes and compiles kernels
BLOCKS = ("data", "tasks", "inner", "network", "train", "test")  # of the study
LOOK_EVERY = 0.01  # seconds between two measurements of memory
GROUPS = {
    "shared": "layers that classifier and discriminator share",
    "cls": "classifier",
    "dsc": "discriminator",
    "gen": "generator",
}
MIB = 2**20


@dataclass(frozen=True)
class Measured:
    """Measured times and memory."""

    device: str
    processes: int
    iteration: float  # seconds of a meta-iteration of all seeds: the median of `ITERATIONS`
    task: float  # seconds of a meta-test task, processes together
    tasks: int  # number of tasks that this was measured on, all seeds together
    memory: int  # bytes, all processes
    device_memory: int  # bytes, on CUDA


def describe(params: Params, variant: str) -> str:
    """The description, after some seconds of measuring. Raises `ParamsError` for an unknown variant."""
    params.variant(variant)
    return "\n".join([*resolved(params, variant), "", *weights(params, variant), "", *costs(params, variant)])


def resolved(params: Params, variant: str) -> list[str]:
    """Every option of the variant, and the blocks of the study that shape its training and test."""
    study, one = params.settings(variant), params.variant(variant)
    content = {
        "options": one.options,
        "tier": {"name": one.tier, **params.tier(variant).model_dump(mode="json")},
        **{name: getattr(study, name).model_dump(mode="json") for name in BLOCKS},
    }
    title = f"{variant} in study {params.study}: {one.style.label}"
    return [title, "", *yaml.safe_dump(content, sort_keys=False).splitlines()]


def counts(params: Params, variant: str) -> dict[str, int]:
    """The number of weights of each group that meta-training learns, for one seed."""
    found: dict[str, int] = {}
    for name, weight in setup.system(params, variant).initial_weights(torch.tensor([0]), torch.float32).items():
        group = name.partition(".")[0]
        found[group] = found.get(group, 0) + weight.numel()
    return found


def weights(params: Params, variant: str) -> list[str]:
    found = counts(params, variant)
    lines = [f"  {GROUPS[group]}: {found[group]:,}" for group in GROUPS if group in found]
    return ["weights that meta-training learns, for one seed:", *lines, f"  together: {sum(found.values()):,}"]


def costs(params: Params, variant: str) -> list[str]:
    """Memory and time, from what `measure` finds."""
    return as_text(params, variant, measure(params, variant))


def as_text(params: Params, variant: str, found: Measured) -> list[str]:
    study, tier = params.current, params.tier(variant)
    train, seeds = study.train, len(tier.seeds)
    looks = 1 + -(-tier.meta_steps // train.validate_every)
    training = tier.meta_steps * found.iteration + looks * train.validation_tasks * seeds * found.task
    testing = tier.test_tasks * seeds * found.task * (1 + len(study.test.other_queries))
    batch = train.meta_batch * seeds
    on_device = f", and {found.device_memory / MIB:,.0f} MiB on the device" if found.device_memory else ""
    return [
        f"on this machine ({found.device}, {found.processes} process{'es' * (found.processes > 1)}):",
        f"  memory in meta-training: {found.memory / MIB:,.0f} MiB{on_device}",
        f"  a meta-iteration of {batch} tasks: {found.iteration:.3g} s, {batch / found.iteration:.3g} tasks/s",
        f"  stage train, about: {span(training)} ({tier.meta_steps:,} meta-iterations and {looks} validations on"
        f" {train.validation_tasks} tasks, {seeds} seed{'s' * (seeds > 1)})",
        f"  stage test, about: {span(testing)} ({tier.test_tasks:,} tasks for each seed)",
        f"Measured just now on {ITERATIONS} meta-iterations and {found.tasks} meta-test tasks, with images of noise:"
        " an estimate. With other work on the machine it takes longer. Not included: starting, reading data, measuring"
        " fakes, the encoders.",
    ]


def span(seconds: float) -> str:
    """A time as text, with two digits."""
    if seconds < 99.5:
        return f"{seconds:.2g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


def measure(params: Params, variant: str) -> Measured:
    """A few meta-iterations of all seeds as stage `train` does them, and a few tasks as stage `test` does them."""
    study, tier, workers = params.current, params.tier(variant), setup.workers(params)
    system, dtype = setup.system(params, variant), getattr(torch, study.train.precision)
    split = noise(params, variant, system.others, workers.device)
    sampler = Sampler(split, study.tasks.ways, study.tasks.shots, study.tasks.scope, system.others, dtype)
    seeds = torch.tensor(tier.seeds, device=workers.device)
    state = State.fresh(system, seeds, dtype)
    loop = OuterLoop(study.train, study.tasks.train_queries, tier.meta_steps)
    progress.say(f"measuring {ITERATIONS + 2} meta-iterations of {variant}")
    advance = iteration(system, sampler, seeds, loop, state, workers)
    advance()
    spent = statistics.median(_seconds(advance, workers) for _ in range(ITERATIONS))
    memory = _peak(advance)
    tasks = TaskSet(sampler, seeds, "test", workers.default_chunk * workers.threads, study.tasks.test_queries)
    times = max(1, tier.test_tasks // tasks.count)  # a whole test is as many of these
    evaluation, theta = Evaluation(system, tasks, workers, every_step=False, times=times), state.part("theta")
    evaluation(theta)
    whole = _seconds(lambda: evaluation(theta), workers)
    count = tasks.count * len(seeds)
    on_device = 0 if workers.is_cpu else torch.cuda.max_memory_allocated(workers.device)
    return Measured(
        workers.device, workers.threads if workers.is_cpu else 1, spent, whole / count, count, memory, on_device
    )


def noise(params: Params, variant: str, others: int, device: str) -> Split:
    """A split of one alphabet with as many classes and images as a task of the variant needs.

    **Arguments** `others`: images of other classes that a task needs for each support image.
    """
    data, tasks = params.current.data, params.current.tasks
    classes = tasks.ways * (2 if others else 1)
    images = max(tasks.shots + max(tasks.train_queries, tasks.test_queries), tasks.shots * others)
    shape = (classes, images, data.side, data.side, data.channels)
    embedded = params.variant(variant).needs_encoder
    return Split(
        images=torch.randint(256, shape, dtype=torch.uint8, device=device),
        alphabet=torch.zeros(classes, dtype=torch.int64, device=device),
        first=torch.zeros(1, dtype=torch.int64, device=device),
        size=torch.full((1,), classes, dtype=torch.int64, device=device),
        alphabet_names=("noise",),
        class_names=tuple(map(str, range(classes))),
        largest=classes,
        embedding=torch.randn(classes, images, encoder.FEATURES, device=device) if embedded else None,
    )


def _seconds(work: Callable[[], object], workers: Workers) -> float:
    if not workers.is_cpu:
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if not workers.is_cpu:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _peak(work: Callable[[], object]) -> int:
    """The most memory, in bytes, that this process and its children hold while `work` runs.

    On Linux a page that several of them share counts once.
    """
    most, done = _held(), threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(LOOK_EVERY):
            most = max(most, _held())

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        work()
    finally:
        done.set()
        looking.join()
    return max(most, _held())


def _held() -> int:
    me = psutil.Process()
    found = [process.memory_full_info() for process in (me, *me.children(recursive=True))]
    return sum(getattr(one, "pss", one.rss) for one in found)
