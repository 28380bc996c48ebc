"""The images that a plain GAN trains on, and those that its samples are compared with (section 5.1.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from megan.config import paths
from megan.config.schema import Gan
from megan.data import dataset


@dataclass(frozen=True)
class Images:
    """Real images by class, uint8, and the names of the classes.

    `train` [classes, n, 28, 28]: the K are chosen from these. `held` [classes, HELD, 28, 28]: held out.
    `apart` [all classes of the data set, n, 28, 28]: for the classifier that measures samples.
    """

    train: Tensor
    held: Tensor
    apart: Tensor
    names: list[str]


def real_images(study: str, options: Gan) -> Images:
    """The images of the study's raw folder, by class."""
    make = dataset.load(options.dataset).by_class
    assert make is not None, "megan.data.catalogue checked it"
    found = make(paths.raw(study), options)
    return Images(torch.tensor(found.train), torch.tensor(found.held), torch.tensor(found.apart), found.names)


def mixed(images: Images) -> Images:
    """All classes as a single one, for GANs whose K images are of mixed classes (`images_of: all`).

    Classes take turns, so any first images hold about as many of each; of the held-out ones as many stay as one class
    has.
    """

    def in_turn(of_classes: Tensor) -> Tensor:
        """[classes, n, ...] -> [1, classes * n, ...]"""
        return of_classes.transpose(0, 1).flatten(0, 1)[None]

    held = in_turn(images.held)[:, : images.held.shape[1]]
    return Images(in_turn(images.train), held, images.apart, ["all classes"])
