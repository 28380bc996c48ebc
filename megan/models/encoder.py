"""The prototype encoder: torchvision's ResNet-18 with a stem for small one-channel images (section 3.1)."""

import torch
from torch import Tensor, nn

FEATURES = 512


def resnet(classes: int, stem_stride: int) -> nn.Module:
    """A ResNet-18 (He et al. 2016) for images [images, 1, 28, 28].

    A 3x3 stem of stride 1 or 2 without max-pooling takes the place of the 7x7 one of stride
    2, which would leave next to nothing of 28 pixels; stride 2 costs a quarter.
    """
    from torchvision.models import resnet18  # a second to import, and most stages need only FEATURES

    network = resnet18(weights=None, num_classes=classes)
    network.conv1 = nn.Conv2d(1, 64, kernel_size=3, stride=stem_stride, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


@torch.no_grad()
def features(network: nn.Module, images: Tensor) -> Tensor:
    """Average-pooled embedding: [images, 1, 28, 28] -> [images, 512]. The network must be in eval mode."""
    body = nn.Sequential(*list(network.children())[:-1])
    return body(images).flatten(1)

