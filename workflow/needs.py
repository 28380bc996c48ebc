"""What a stage needs of a machine, as it follows from the study: time, threads, memory, a GPU.

The times come from provenance files of the record `omniglot_2500` (tests/workflow/test_needs.py compares them), and
grow with the work of a stage. On a cluster they become time limits, so `minutes` is generous: a limit that is too
short costs a wait in the queue and no work, since a training goes on from its checkpoint.
"""

import math
from dataclasses import dataclass

from megan.config.params import Params, Study, Tier
from megan.stages.registry import Stage

# What a cluster computes. All other stages take a minute, or want the network: they run where jobs are submitted.
JOBS = ("encoder", "judge", "gan", "train", "test")
# The number of threads changes their rounding, so they get the same in every run.
ALONE = ("encoder", "judge", "gan")

# Seconds of one core. `train` and `test`: of a task, in tasks of 5 classes, 1 shot, 5 inner steps, 5 and 15 queries.
PER_TASK = {"train": {False: 1 / 87.5, True: 1 / 34.6}, "test": {False: 172.7 / 8000, True: 187.6 / 8000}}
PER_PRETRAINING_IMAGE = 381.7 / (400 * 64)  # ResNet-18 whose first layer has stride 2
PER_GAN_IMAGE = 99.3 / (5 * 2 * 500 * 16)  # of an update: number of images x classes x updates x batch
SIDE, FILTERS = 28, 64  # of all of these

GENEROUS, START = 3.0, 10.0  # factor of a time limit, and minutes in addition
CORES_OF_A_GPU = 16  # as many cores a GPU is taken to replace: not measured, so chosen low
MOST_THREADS, GPU_THREADS, ALONE_THREADS = 16, 4, 8
CHUNK = 4  # tasks of one chunk, which one core works on; see megan/meta/parallel.py
SPARE_RETRIES = 5  # for jobs that are cancelled or preempted, or whose node fails
IMAGES = {"mini_imagenet": 60_000, "omniglot": 32_460, "glyphs": 11_880, "folder": 60_000}


@dataclass(frozen=True)
class Needs:
    """Of one job. `retries`: how often it is submitted again, so that time limits do not end it."""

    threads: int
    mem_mb: int
    runtime: int  # minutes
    retries: int
    gpu: int


def needs(params: Params, stage: Stage, longest: int, gpu: bool, own: int = 0) -> Needs:
    """What one of `JOBS` needs, where a job may take `longest` minutes, on a GPU or on a CPU node.

    **Arguments** `own`: the number of threads that the user has set, if any.
    """
    count = own or threads(params, stage, gpu)
    minutes = GENEROUS * core_seconds(params, stage) / (CORES_OF_A_GPU if gpu else count) / 60
    runtime = min(longest, math.ceil(START + minutes))
    retries = math.floor(minutes / longest) + SPARE_RETRIES
    return Needs(count, memory(params, stage, count, gpu), runtime, retries, int(gpu))


def resources(needed: Needs) -> dict[str, int]:
    """As Snakemake names them. A job without a GPU names none, since some plugins take 0 for a wish."""
    return {"mem_mb": needed.mem_mb, "runtime": needed.runtime, **({"gpu": needed.gpu} if needed.gpu else {})}


def threads(params: Params, stage: Stage, gpu: bool) -> int:
    """Of a cluster job: as many as it has chunks of tasks, up to `MOST_THREADS`."""
    if gpu:
        return GPU_THREADS
    if stage.name in ALONE:
        return ALONE_THREADS
    study, tier = _study(params, stage), _tier(params, stage)
    tasks = study.train.meta_batch if stage.name == "train" else tier.test_tasks
    return min(MOST_THREADS, len(tier.seeds) * math.ceil(tasks / CHUNK))


def memory(params: Params, stage: Stage, threads: int, gpu: bool) -> int:
    """MB of the node: the interpreter, the images (held twice while they are read), and a chunk on each thread."""
    study = _study(params, stage)
    rotated = 4 if study.data.rotations else 1
    images = IMAGES[study.data.dataset] * rotated * study.data.side**2 * study.data.channels / 1e6
    chunk = 4000 / GPU_THREADS if gpu else 300 * _pixels(study)
    return math.ceil(2000 + 2 * images + threads * chunk)


def core_seconds(params: Params, stage: Stage) -> float:
    """Seconds that one core would take, by the measured rates."""
    study = _study(params, stage)
    if stage.name in ("encoder", "judge"):
        network = study.encoder if stage.name == "encoder" else study.judge
        images = network.steps * network.batch_size
        return images * PER_PRETRAINING_IMAGE * _pixels(study) * (2 / network.stem_stride) ** 2
    if stage.name == "gan":
        gan = study.gan
        return len(gan.images) * gan.classes * gan.updates * gan.batch_size * len(gan.seeds) * PER_GAN_IMAGE
    tier, fakes = _tier(params, stage), params.variant(stage.item).approach != "maml"
    size = _pixels(study) * (study.network.filters / FILTERS) ** 2 * study.tasks.ways / 5 * len(tier.seeds)
    if stage.name == "test":
        images = study.tasks.shots * study.inner.test_steps + study.tasks.test_queries
        return tier.test_tasks * size * images / 20 * PER_TASK["test"][fakes]
    images = study.tasks.shots * study.inner.steps + study.tasks.train_queries
    return tier.meta_steps * study.train.meta_batch * size * images / 10 * PER_TASK["train"][fakes]


def _study(params: Params, stage: Stage) -> Study:
    return params.settings(stage.item) if stage.item else params.current


def _tier(params: Params, stage: Stage) -> Tier:
    return params.tier(stage.item)


def _pixels(study: Study) -> float:
    return study.data.channels**0.5 * study.data.side**2 / SIDE**2
