"""A small classifier of the data set. Samples of the plain GAN are measured in its features (Fig. 7).

It trains on images of all classes of the data set that no GAN trains on. So its features do not
depend on the classes and K of a study.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from megan.gan import networks
from megan.ops import streams

STEPS, BATCH, RATE = 300, 128, 0.001


def train(images: Tensor, seed: int, device: str) -> torch.nn.Sequential:
    """A classifier of `images` uint8 [classes, n, 28, 28]."""
    torch.manual_seed(seed)  # torch draws initial weights from the global generator
    classes, count = images.shape[:2]
    network = networks.classifier(classes).to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    seeds, zero = torch.tensor([seed]), torch.zeros(1, dtype=torch.int64)
    for step in range(STEPS):
        place = (streams.uniform(streams.key(seeds, "gan/judge", step, zero)[0, 0], BATCH) * classes * count).long()
        label, drawing = place // count, place % count
        batch = images[label, drawing][:, None].to(device).float() / 255
        optimiser.zero_grad()
        F.cross_entropy(network(batch), label.to(device)).backward()
        optimiser.step()
    return network


@torch.no_grad()
def accuracy(network: torch.nn.Sequential, held: Tensor) -> float:
    """Share of `held` [classes, n, 28, 28] that are classified correctly."""
    device = next(network.parameters()).device
    chosen = network(held.flatten(0, 1)[:, None].to(device).float() / 255).argmax(dim=1).cpu()
    return float((chosen == torch.arange(len(held)).repeat_interleave(held.shape[1])).double().mean())


def features(network: torch.nn.Sequential, images: Tensor) -> np.ndarray:
    """uint8 [n, 28, 28] -> float64 [n, FEATURES]"""
    device = next(network.parameters()).device
    return networks.features(network, images[:, None].to(device).float() / 255).cpu().double().numpy()


def nearest(images: Tensor, known: Tensor) -> float:
    """Distance of `images` [n, 28, 28] from the nearest of `known` [K, 28, 28].

    The root mean square difference of pixels (0 to 1), averaged over `images`.
    """
    distance = torch.cdist(images.flatten(1).double(), known.flatten(1).double()) / images[0].numel() ** 0.5
    return float(distance.min(dim=1).values.mean())
