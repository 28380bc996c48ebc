"""The stage `gan`: a plain GAN on K images of one class, for each K (section 5.1.1, Fig. 7).

**Reading** of "K training examples": K images in all, of one class, so a GAN for each class,
K and seed. The K images of a class and seed are the first of those of a larger K, and initial
weights and noise are the same for every K, so that only K differs. An update is a step of the
discriminator and one of the generator, on a batch drawn from the K with replacement.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from megan import paths, progress, provenance, realism, settings, storage
from megan.data import fashion_mnist, glyphs, streams
from megan.data.scripts import SCRIPTS
from megan.gan import judge, networks
from megan.meta import checkpoint, work
from megan.meta.interrupt import Interrupt
from megan.ops import kernels
from megan.params import Params
from megan.schema import Gan

SCRIPT, GLYPHS = "Latin", 10  # whose characters, and how many, are the classes among the glyphs
POOL = 200  # drawings of a glyph to take the K from
APART = 100  # images of a class that the judge learns from, and no GAN
HELD = 200  # held-out images of a class, and as many samples to set against them
SHOWN = 4  # samples kept of each GAN
LOG_EVERY = 10  # updates
BETAS = (0.5, 0.999)  # of Adam, as in Radford et al. 2016
QUALITY = ("images", "class", "seed", "updates", "kid", "kid_low", "kid_high", "collapse", "nearest", "kid_real", "collapse_real", "nearest_real")


@dataclass(frozen=True)
class Images:
    """Real ones by class, uint8: `train` [classes, n, 28, 28] to take the K from, `held` [classes, HELD, 28, 28],
    `apart` [all classes of the data set, n, 28, 28] for the judge; and what they were read from.
    """

    train: Tensor
    held: Tensor
    apart: Tensor
    names: list[str]
    digests: dict[str, str]


@dataclass(frozen=True)
class Trained:
    """`samples` [seeds, classes, HELD, 28, 28] in 0..1, NaN of a diverged GAN; `updates` int64 [seeds, classes]
    done while all was finite; `losses` [updates / LOG_EVERY, 2, seeds, classes]: discriminator, generator.
    """

    samples: Tensor
    updates: Tensor
    losses: Tensor


def run(params: Params) -> None:
    """Train and judge, from the last K finished if there is one.

    **Raises** `DataError` when the raw folder does not hold the data set.
    """
    options, device, target = params.current.gan, settings.device(), paths.gan(params.study)
    torch.set_num_threads(settings.threads())
    images = real_images(params.study, options)
    identity = {
        "parameters": {"study": params.study, "gan": options.model_dump(mode="json")},
        "data": images.digests,
        "modules": work.modules(),
    }
    machine = {"device": device, "kernel": kernels.name(device), "threads": settings.threads()}
    with checkpoint.locked(f"{params.study}/gan", storage.digest({**identity, **machine})) as resume:
        if work.stands(target, identity, "gan"):
            progress.say("gan: another process has just finished this; taking its result")
            resume.discard()
            return
        tensors, told = _work(images, options, device, resume)
        storage.write_json(paths.provenance(params.study, "gan"), provenance.describe(machine, wall_seconds=told["seconds"]))
        with storage.replacing_folder(target) as folder:
            quality = pandas.DataFrame(told["quality"], columns=QUALITY)
            quality.to_csv(folder / "quality.csv", index=False)
            _losses(tensors, options).to_csv(folder / "losses.csv", index=False)
            save_file({name: value for name, value in tensors.items() if name.startswith(("K", "training"))}, folder / "samples.safetensors")
            lost = quality.loc[quality["updates"] < options.updates, ["images", "class", "seed", "updates"]]
            work.write_record(folder, identity, {
                "study": params.study, "dataset": options.dataset, "classes": images.names, "seeds": list(options.seeds),
                "diverged": lost.to_dict("records"), "judge_accuracy": told["judge_accuracy"],
            })  # fmt: skip
        resume.discard()


def _work(images: Images, options: Gan, device: str, resume: checkpoint.Resume) -> tuple[dict[str, Tensor], dict]:
    """The judge, then a K at a time, saved after each."""
    tensors, told = _restore(resume)
    started, before = time.monotonic(), told["seconds"]
    chosen = choose(options, images.train.shape[1], device)
    with Interrupt("gan") as interrupt, progress.bar("gan", len(options.images) * options.updates, told["done"] * options.updates) as bar:
        network = _judge(images.apart, options, device, tensors)
        told["judge_accuracy"] = judge.accuracy(network, images.held)
        tensors["training"] = _picked(images.train, chosen[:, :, :SHOWN])

        def moved() -> None:
            bar.update()
            interrupt.stop_if_asked()

        for count in options.images[told["done"] :]:
            bar.set_postfix_str(f"K = {count}", refresh=False)
            few = _picked(images.train, chosen[:, :, :count])
            trained = train(few.to(device), options, moved)
            told["quality"] += quality(trained, few, images, network, options)
            tensors[f"K{count}"] = to_bytes(trained.samples[:, :, :SHOWN])
            tensors[f"losses/{count}"] = trained.losses
            told = {**told, "done": told["done"] + 1, "seconds": before + time.monotonic() - started}
            resume.save(tensors, {"told": json.dumps(told)})
    return tensors, told


def _restore(resume: checkpoint.Resume) -> tuple[dict[str, Tensor], dict]:
    saved = resume.load()
    if saved:
        return saved[0], json.loads(saved[1]["told"])
    return {}, {"done": 0, "seconds": 0.0, "quality": [], "judge_accuracy": None}


def real_images(study: str, options: Gan) -> Images:
    """Those of the study's raw folder, by class.

    **Reading** for the glyphs: a class is a character. Its twenty drawings are too few for K =
    100 and held-out ones, so further drawers draw it; the last `HELD` are held out.
    """
    folder = paths.raw(study)
    classes = slice(options.classes)
    if options.dataset == "fashion_mnist":
        parts, digests = fashion_mnist.read(folder)
        train, apart = parts["train"][:, :-APART], parts["train"][:, -APART:]
        held, names = parts["test"][:, :HELD], list(fashion_mnist.CLASSES)
    else:
        digests = glyphs.verified(folder)
        characters = SCRIPTS[SCRIPT].characters[:GLYPHS]
        apart = glyphs.draw(characters, APART)  # a drawing does not depend on how many there are
        drawn = glyphs.draw(characters[classes], APART + max(POOL, *options.images) + HELD)
        train, held = drawn[:, APART:-HELD], drawn[:, -HELD:]
        names = [f"{SCRIPT} U+{ord(character):04X}" for character in characters]
    return Images(torch.tensor(train[classes]), torch.tensor(held[classes]), torch.tensor(apart), names[classes], digests)


def choose(options: Gan, population: int, device: str) -> Tensor:
    """Which images train, int64 [seeds, classes, largest K]; a smaller K takes the first."""
    return streams.choose(_keys("gan/images", 0, options, device), population, max(options.images)).cpu()


def _keys(purpose: str, step: int, options: Gan, device: str) -> Tensor:
    """int64 [seeds, classes]"""
    seeds, classes = torch.tensor(options.seeds, device=device), torch.arange(options.classes, device=device)
    return streams.key(seeds, purpose, step, classes)


def _picked(images: Tensor, chosen: Tensor) -> Tensor:
    """`images` [classes, n, 28, 28], `chosen` [seeds, classes, K] -> uint8 [seeds, classes, K, 28, 28]"""
    return images[torch.arange(len(images))[None, :, None], chosen]


def to_bytes(images: Tensor) -> Tensor:
    """In 0..1 -> uint8; black where there is no number."""
    return (images.nan_to_num(0.0) * 255).round().to(torch.uint8).cpu()


def train(images: Tensor, options: Gan, moved: Callable[[], None]) -> Trained:
    """Train one GAN for each seed and class, all at once; non-saturating loss, Adam.

    **Arguments** `images` uint8 [seeds, classes, K, 28, 28]; `moved` is called after each update.
    """
    device, grid, count = str(images.device), images.shape[:2], images.shape[2]
    reals = images.flatten(0, 1)[..., None].float() / 127.5 - 1
    gans = torch.arange(len(reals), device=device)[:, None]
    keys = _keys("gan/weights", 0, options, device).flatten()
    makes, sees = networks.generator_weights(keys, options.noise_size), networks.discriminator_weights(keys)
    step_makes, step_sees = _stepper(makes, options), _stepper(sees, options)
    finite, logged = torch.zeros(len(reals), dtype=torch.int64, device=device), []
    for update in range(options.updates):
        draws = streams.uniform(_keys("gan/batch", update, options, device).flatten(), options.batch_size)
        real = reals[gans, (draws * count).long()]
        fake = networks.generate(makes, _noise("gan/noise", update, options.batch_size, options, device))
        told = networks.discriminate(sees, real), networks.discriminate(sees, fake.detach())
        loss_sees = F.softplus(-told[0]).mean(dim=1) + F.softplus(told[1]).mean(dim=1)
        step_sees(loss_sees)
        loss_makes = F.softplus(-networks.discriminate(sees, fake)).mean(dim=1)
        step_makes(loss_makes)
        losses = torch.stack([loss_sees, loss_makes]).detach()
        finite += (finite == update) & losses.isfinite().all(dim=0)
        if (update + 1) % LOG_EVERY == 0:
            logged.append(losses.unflatten(1, grid))
        moved()
    with torch.no_grad():
        samples = (networks.generate(makes, _noise("gan/samples", 0, HELD, options, device))[..., 0] + 1) / 2
    # The last step of all may have been the one too many, which no loss has seen.
    sound = samples.flatten(1).isfinite().all(dim=1)
    finite = torch.where(sound, finite, finite.clamp(max=options.updates - 1))
    samples[finite < options.updates] = torch.nan
    losses = torch.stack(logged) if logged else torch.empty(0, 2, *grid)
    return Trained(samples.unflatten(0, grid).cpu(), finite.unflatten(0, grid).cpu(), losses.cpu())


def _noise(purpose: str, step: int, count: int, options: Gan, device: str) -> Tensor:
    """[gans, count, noise_size]"""
    draws = streams.normal(_keys(purpose, step, options, device).flatten(), count * options.noise_size)
    return draws.float().unflatten(1, (count, options.noise_size))


def _stepper(weights: dict[str, Tensor], options: Gan) -> Callable[[Tensor], None]:
    """A step of Adam on losses [gans]. It moves each weight by its own history, so no GAN touches another."""
    leaves = [value.requires_grad_() for value in weights.values()]
    optimiser = torch.optim.Adam(leaves, lr=options.learning_rate, betas=BETAS, fused=True)

    def step(losses: Tensor) -> None:
        for leaf, gradient in zip(leaves, torch.autograd.grad(losses.sum(), leaves), strict=True):
            leaf.grad = gradient
        optimiser.step()

    return step


def _judge(images: Tensor, options: Gan, device: str, tensors: dict[str, Tensor]) -> torch.nn.Sequential:
    """The judge, from `tensors` or into them."""
    kept = {name.removeprefix("judge/"): value for name, value in tensors.items() if name.startswith("judge/")}
    if kept:
        network = networks.judge(len(images)).to(device)
        network.load_state_dict(kept)
        return network
    network = judge.train(images, options.seeds[0], device)
    tensors |= {f"judge/{name}": value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    return network


def quality(trained: Trained, few: Tensor, images: Images, network: torch.nn.Sequential, options: Gan) -> list[list]:
    """Rows of `quality.csv`, of each class and seed; no numbers for a GAN that diverged.

    The columns that end in `_real` set real images in the samples' place: training images of
    the class against the held-out ones (kid, collapse), held-out ones against the K (nearest).
    """
    rows = []
    for place, label in ((place, label) for place in range(len(options.seeds)) for label in range(options.classes)):
        seed, updates = options.seeds[place], int(trained.updates[place, label])
        real, held = (judge.features(network, part[label, :HELD]) for part in (images.train, images.held))
        known, pixels = few[place, label] / 255, trained.samples[place, label]
        made = [np.nan] * 5
        if updates == options.updates:
            fake = judge.features(network, to_bytes(pixels))
            made = [*realism.kid(held, fake, seed), realism.likeness(fake[None]), judge.nearest(pixels, known)]
        reals = [realism.kid(held, real, seed)[0], realism.likeness(held[None]), judge.nearest(images.held[label] / 255, known)]
        rows.append([few.shape[2], label, seed, updates, *map(float, made), *map(float, reals)])
    return rows


def _losses(tensors: dict[str, Tensor], options: Gan) -> pandas.DataFrame:
    """`losses.csv`: images, class, seed, update, discriminator, generator."""
    frames = []
    for count in options.images:
        losses = tensors[f"losses/{count}"]
        steps = [LOG_EVERY * (row + 1) for row in range(len(losses))]
        names = ["images", "update", "seed", "class"]
        index = pandas.MultiIndex.from_product([[count], steps, options.seeds, range(options.classes)], names=names)
        values = losses.permute(0, 2, 3, 1).reshape(-1, 2).numpy()
        frames.append(pandas.DataFrame(values, index=index, columns=["discriminator", "generator"]).reset_index())
    columns = ["images", "class", "seed", "update", "discriminator", "generator"]
    return pandas.concat(frames)[columns].sort_values(columns[:4], ascending=[False, True, True, True], ignore_index=True)
