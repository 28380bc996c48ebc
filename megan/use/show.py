"""One meta-test task as a picture: support, fakes at each inner step, queries with prediction and confidence.

It is a task that stage `test` scores (section 2.2), adapted as there (sections 1.2, 4.2).
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from megan.config import paths
from megan.config.params import Params
from megan.data import channels
from megan.data.episodes import Episodes, TaskSet
from megan.errors import MeganError
from megan.meta import setup
from megan.meta.adapt import trajectory
from megan.meta.with_fakes import WithFakes
from megan.models.initial import Weights
from megan.report import style
from megan.runs import result, storage
from megan.stages import registry
from megan.use import trained

RIGHT, WRONG = "#2a7f3f", "#c0392b"
MOST_TASKS = 10**7  # of a meta-test, by the schema
INCH = 0.62  # size of an image with the space around it
GAP = 0.25  # between two groups of images, in images


class ShowError(MeganError):
    """There is no such task; the message says what is expected."""


@dataclass(frozen=True)
class Shown:
    """The content of the picture of one task, on the CPU; images [images, side, side, channels], 0 to 1."""

    variant: str
    seed: int
    number: int
    ink: bool  # whether 1 is ink, drawn black; else it is light
    names: list[str]  # of the classes
    support: Tensor  # by class
    fakes: list[tuple[str, Tensor]]  # a title, and the fakes that an inner step would train on, by class
    query: Tensor  # by class
    labels: Tensor  # int64 [queries]
    probabilities: Tensor  # [queries, ways]
    fake_wins: Tensor  # bool [queries]: the output "fake" is the largest

    @property
    def predictions(self) -> Tensor:
        return self.probabilities.argmax(dim=-1)

    @property
    def accuracy(self) -> float:
        return float((self.predictions == self.labels).double().mean())


def draw(params: Params, variant: str, number: int = 0, seed: int | None = None, output: Path | None = None) -> Path:
    """Draw task `number` of the meta-test of a trained variant; returns the PNG file.

    **Arguments** `seed`: the seed of weights and tasks, else that with the best accuracy on validation tasks;
    `output`: the file, else one in `results/<study>/shown`. A variant that was not trained here has the weights of the
    study's record, if that holds them; the data are then downloaded and prepared first, if they are not there.
    **Raises** `ShowError` for a negative number; `StaleError` for a variant that is not trained, or whose inputs are
    not what `params.yaml` says; `CheckpointError` for a seed that it lacks or that diverged.
    """
    if not 0 <= number < MOST_TASKS:
        raise ShowError(f"--task {number}: expected a number from 0 to {MOST_TASKS - 1}")
    folder = paths.trained(params.study, variant)
    if not (folder / result.RECORD).is_file() and trained.recorded(params, variant):
        folder = paths.RECORD / params.study
        _make_data(params)
    else:
        registry.prepare(params, "test", variant)  # checks the results that a meta-test reads
    found = task(params, variant, number, seed, folder)
    target = output or paths.shown(params.study) / f"{variant}-seed{found.seed}-task{number}.png"
    with style.theme(), storage.replacing(target) as temporary:
        picture(found).savefig(temporary, format="png", dpi=style.DPI, metadata={"Software": None})
    return target


def _make_data(params: Params) -> None:
    """Download and prepare the data of the study, if its meta-test split is not there."""
    if not paths.split(params.study, "test").is_file():
        for stage in (registry.CONFIG, "download", "prepare"):
            registry.run(registry.prepare(params, stage))


def task(params: Params, variant: str, number: int, seed: int | None = None, folder: Path | None = None) -> Shown:
    """Adapt to task `number` of the meta-test, and keep what the picture shows.

    **Arguments** `folder`: that of the training or of a record; unset: that of the training.
    """
    folder = folder or paths.trained(params.study, variant)
    kept, workers = trained.load(folder, variant, seed), setup.workers(params)
    system, queries = kept.system, params.current.tasks.test_queries
    sampler = setup.sampler(params, variant, "test", workers)
    seeds = torch.tensor([kept.seed], device=workers.device)
    tasks = TaskSet(sampler, seeds, "test", number + 1, queries)
    episodes = tasks.sample(slice(0, 1), workers.numbers(range(number, number + 1)))
    fakes: list[tuple[str, Tensor]] = []
    adapted = kept.weights
    descent = trajectory(system, adapted, episodes, system.inner.test_steps, differentiable=False)
    for step, adapted in enumerate(descent):
        if isinstance(system, WithFakes) and system.makes_fakes:
            fakes.append((_title(system, step), _by_class(system, adapted, episodes, step)))
    with torch.no_grad():
        logits = system.answer(adapted, episodes, system.inner.test_steps)[0].cpu()
    return Shown(
        variant=variant,
        seed=kept.seed,
        number=number,
        ink=kept.ink,
        names=[sampler.split.class_names[row] for row in episodes.classes[0].tolist()],
        support=episodes.support[0].cpu(),
        fakes=fakes,
        query=episodes.query[0].cpu(),
        labels=episodes.query_labels.cpu(),
        probabilities=trained.probabilities(logits, system.ways),
        fake_wins=logits.argmax(dim=-1) >= system.ways,
    )


def _title(system: WithFakes, step: int) -> str:
    steps = system.inner.test_steps
    if step == steps:
        return "fakes,\nadapted"
    return f"fakes,\nstep {step + 1}" + ("" if system.sees_fakes(step) else "\n(not used)")


def _by_class(system: WithFakes, weights: Weights, episodes: Episodes, step: int) -> Tensor:
    """The fakes of an inner step, sorted by class: [fakes, side, side, channels]."""
    with torch.no_grad():
        made = system.fakes(weights, episodes, step)[0]
    return made[system.fake_labels(episodes).argsort(stable=True)].cpu()


def picture(shown: Shown) -> Figure:
    """One row for each class: its support, its fakes at each inner step, its queries."""
    ways = len(shown.names)
    groups = [("support", shown.support), *shown.fakes, ("queries", shown.query)]
    widths = [len(images) // ways for _, images in groups]
    ratios = [ratio for width in widths for ratio in (*[1.0] * width, GAP)]  # each group, then an empty column
    size = (INCH * sum(ratios) + 1.2, INCH * 1.25 * ways + 1.1)
    figure = Figure(figsize=size, layout="constrained")
    table = figure.subplots(ways, len(ratios), squeeze=False, width_ratios=ratios)
    for axes in table.flat:
        axes.set_axis_off()
    first = 0
    for (title, images), width in zip(groups, widths, strict=True):
        own = table[:, first : first + width]
        own[0, 0].set_title(title, fontsize=6, loc="left")
        for axes, image in zip(own.flat, images, strict=True):
            _image(axes, image, shown.ink)
        first += width + 1
    for row, (axes, name) in enumerate(zip(table[:, 0], shown.names, strict=True), 1):
        words = style.wrapped(f"{row}: {name}".replace("/", "\n"), 14)
        axes.set_ylabel(words, fontsize=6, rotation=0, ha="right", va="center")
    for place, axes in enumerate(table[:, first - 1 - widths[-1] : first - 1].flat):
        _verdict(axes, shown, place)
    figure.suptitle(
        f"{shown.variant}, seed {shown.seed}, meta-test task {shown.number}: {shown.accuracy:.0%} of the queries right."
        " Under a query: the row of its predicted class and the confidence; green is right"
        + ('; *: the output "fake" is larger still.' if bool(shown.fake_wins.any()) else "."),
        fontsize=8,
    )
    return figure


def _image(axes: Axes, image: Tensor, ink: bool) -> None:
    """One image, ink drawn black."""
    pixels = image.nan_to_num(0).clamp(0, 1).numpy()
    axes.imshow(channels.without_axis(1 - pixels if ink else pixels), cmap="gray", vmin=0, vmax=1)
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    axes.grid(False)


def _verdict(axes: Axes, shown: Shown, place: int) -> None:
    predicted = int(shown.predictions[place])
    colour = RIGHT if predicted == int(shown.labels[place]) else WRONG
    words = f"{predicted + 1}: {float(shown.probabilities[place, predicted]):.0%}" + "*" * bool(shown.fake_wins[place])
    axes.set_xlabel(words, fontsize=6, color=colour, labelpad=1)
    for side in axes.spines.values():
        side.set_edgecolor(colour)
