"""Quality of a plain GAN's samples, in the features of a classifier of the same data set."""

import numpy as np
import pandas
import torch
from torch import Tensor

from megan.config.schema import Gan
from megan.data.dataset import HELD
from megan.gan import image_classifier, networks
from megan.gan.images import Images
from megan.gan.training import LOG_EVERY, Trained
from megan.realism import measures

QUALITY = (
    "images",
    "class",
    "seed",
    "updates",
    "kid",
    "kid_low",
    "kid_high",
    "collapse",
    "nearest",
    "kid_real",
    "collapse_real",
    "nearest_real",
)


def classifier(images: Tensor, options: Gan, device: str, tensors: dict[str, Tensor]) -> torch.nn.Sequential:
    """The classifier in whose features samples are measured. It is read from `tensors`, or trained and stored there."""
    kept = {name.removeprefix("judge/"): value for name, value in tensors.items() if name.startswith("judge/")}
    if kept:
        network = networks.classifier(len(images)).to(device)
        network.load_state_dict(kept)
        return network
    network = image_classifier.train(images, options.seeds[0], device)
    tensors |= {f"judge/{name}": value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    return network


def quality(trained: Trained, few: Tensor, images: Images, network: torch.nn.Sequential, options: Gan) -> list[list]:
    """Rows of `quality.csv`, one for each class and seed; NaN for a GAN that diverged.

    The columns that end in `_real` use real images instead of samples: training images compared with
    held-out ones (kid), held-out ones alone (collapse), held-out ones compared with the K (nearest).
    """
    rows = []
    for place, label in ((place, label) for place in range(len(options.seeds)) for label in range(options.groups)):
        seed, updates = options.seeds[place], int(trained.updates[place, label])
        real, held = (image_classifier.features(network, part[label, :HELD]) for part in (images.train, images.held))
        known, pixels = few[place, label] / 255, trained.samples[place, label]
        made = [np.nan] * 5
        if updates == options.updates:
            fake = image_classifier.features(network, to_bytes(pixels))
            made = [
                *measures.kid(held, fake, seed),
                measures.likeness(fake[None]),
                image_classifier.nearest(pixels, known),
            ]
        reals = [
            measures.kid(held, real, seed)[0],
            measures.likeness(held[None]),
            image_classifier.nearest(images.held[label] / 255, known),
        ]
        rows.append([few.shape[2], label, seed, updates, *map(float, made), *map(float, reals)])
    return rows


def to_bytes(images: Tensor) -> Tensor:
    """Images in 0..1 -> uint8; NaN becomes 0."""
    return (images.nan_to_num(0.0) * 255).round().to(torch.uint8).cpu()


def losses_table(tensors: dict[str, Tensor], options: Gan) -> pandas.DataFrame:
    """`losses.csv`: images, class, seed, update, discriminator, generator."""
    frames = []
    for count in options.images:
        losses = tensors[f"losses/{count}"]
        steps = [LOG_EVERY * (row + 1) for row in range(len(losses))]
        names = ["images", "update", "seed", "class"]
        index = pandas.MultiIndex.from_product([[count], steps, options.seeds, range(options.groups)], names=names)
        values = losses.permute(0, 2, 3, 1).reshape(-1, 2).numpy()
        frames.append(pandas.DataFrame(values, index=index, columns=["discriminator", "generator"]).reset_index())
    columns = ["images", "class", "seed", "update", "discriminator", "generator"]
    return pandas.concat(frames)[columns].sort_values(
        columns[:4], ascending=[False, True, True, True], ignore_index=True
    )
