"""The images that a plain GAN trains on, and those that its samples are compared with (section 5.1.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from megan.config import paths
from megan.config.schema import Gan
from megan.data import fashion_mnist, glyphs
from megan.data.scripts import SCRIPTS

SCRIPT, GLYPHS = "Latin", 10  # for the glyphs: the script, and the number of its characters that are classes
POOL = 200  # drawings of a character, from which the K are chosen
APART = 100  # images of a class for the classifier; no GAN trains on them
HELD = 200  # held-out images of a class, and number of samples that are compared with them


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
    """The images of the study's raw folder, by class.

    **Reading** for the glyphs: a class is a character. Its twenty drawings are too few for K =
    100 and held-out images, so further drawers are added. The last `HELD` drawings are held out.
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
        apart = glyphs.draw(characters, APART)  # a drawing does not depend on the number of drawings
        drawn = glyphs.draw(characters[classes], APART + max(POOL, *options.images) + HELD)
        train, held = drawn[:, APART:-HELD], drawn[:, -HELD:]
        names = [f"{SCRIPT} U+{ord(character):04X}" for character in characters]
    return Images(torch.tensor(train[classes]), torch.tensor(held[classes]), torch.tensor(apart), names[classes])
