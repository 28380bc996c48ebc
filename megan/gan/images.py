"""The images that a plain GAN learns from, and those that its samples are compared with (section 5.1.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from megan.config import paths
from megan.config.schema import Gan
from megan.data import fashion_mnist, glyphs
from megan.data.scripts import SCRIPTS

SCRIPT, GLYPHS = "Latin", 10  # the script, and how many of its characters, that make the glyphs' classes
POOL = 200  # drawings of a glyph to take the K from
APART = 100  # images of a class that the classifier learns from, and no GAN
HELD = 200  # held-out images of a class, and as many samples to set against them


@dataclass(frozen=True)
class Images:
    """Real images by class, uint8, and the names of the classes.

    `train` [classes, n, 28, 28]: to take the K from. `held` [classes, HELD, 28, 28]: held out.
    `apart` [all classes of the data set, n, 28, 28]: for the classifier that measures samples.
    """

    train: Tensor
    held: Tensor
    apart: Tensor
    names: list[str]


def real_images(study: str, options: Gan) -> Images:
    """The images of the study's raw folder, by class.

    **Reading** for the glyphs: a class is a character. Its twenty drawings are too few for K =
    100 and held-out ones, so further drawers draw it. The last `HELD` are held out.
    """
    folder = paths.raw(study)
    classes = slice(options.classes)
    if options.dataset == "fashion_mnist":
        parts, _ = fashion_mnist.read(folder)
        train, apart = parts["train"][:, :-APART], parts["train"][:, -APART:]
        held, names = parts["test"][:, :HELD], list(fashion_mnist.CLASSES)
    else:
        glyphs.verified(folder)
        characters = SCRIPTS[SCRIPT].characters[:GLYPHS]
        apart = glyphs.draw(characters, APART)  # a drawing does not depend on how many there are
        drawn = glyphs.draw(characters[classes], APART + max(POOL, *options.images) + HELD)
        train, held = drawn[:, APART:-HELD], drawn[:, -HELD:]
        names = [f"{SCRIPT} U+{ord(character):04X}" for character in characters]
    return Images(torch.tensor(train[classes]), torch.tensor(held[classes]), torch.tensor(apart), names[classes])
