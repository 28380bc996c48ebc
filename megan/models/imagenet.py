"""The ResNet-18 that was trained on ImageNet, as an encoder of class prototypes (section 3.1, "pre-trained ResNet-18").

As in the authors' code: an image is enlarged to 224 pixels (nearest neighbour), a grey one repeated to three channels,
and the pooled features are the embedding. **Reading**: colours are normalised as in ImageNet training, which
torchvision requires and their code omits; ink is dark on a light ground, as in their images.
"""

import pickle
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from megan.errors import DataError

SIDE = 224  # pixels that the network was trained on
CLASSES = 1000
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours
BATCH = 32  # images in one forward pass


class Enlarged(nn.Module):
    """Embeddings [images, 512] of images [images, 1 or 3, side, side] in 0..1. `dark`: whether 1 is ink."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, dark: bool) -> None:
        super().__init__()
        self.body, self.dark = nn.Sequential(*list(network.children())[:-1]), dark
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        light = 1 - images if self.dark else images
        large = F.interpolate(light, size=SIDE, mode="nearest").expand(-1, 3, -1, -1)
        return self.body((large - self.mean) / self.deviation).flatten(1)


def network(weights: dict[str, Tensor], dark: bool) -> Enlarged:
    """The encoder with these `weights` of torchvision's ResNet-18, in eval mode."""
    from torchvision.models import resnet18  # slow to import

    whole = resnet18(weights=None, num_classes=CLASSES)
    whole.load_state_dict(weights)
    return Enlarged(whole, dark).eval()


def read(path: Path) -> dict[str, Tensor]:
    """The weights in torchvision's file. Raises `DataError` if it is missing, or holds anything else."""
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        network(weights, dark=True)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; run `dvc repro -f download`") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} holds no weights of torchvision's ResNet-18 ({' '.join(str(error).split())[:160]}); run"
            " `dvc repro -f download`"
        ) from None
    return weights
