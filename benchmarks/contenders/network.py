"""The network in torch's own layers, as a user of a peer would write it, and megan's weights in it.

Four 3x3 convolutions of 64 filters, stride 2, without bias, each with batch normalisation by
the current batch and ReLU; the spatial mean; a linear head.
"""

import torch
from torch import Tensor, nn

LAYERS = 4


class Network(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (1, 64, 64, 64):
            layers += [
                nn.Conv2d(channels, 64, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(64, track_running_stats=False),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(64, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(dim=(2, 3)))


def build(weights: dict[str, Tensor]) -> Network:
    network = Network(len(weights["cls.bias"])).to(weights["cls.bias"])
    with torch.no_grad():
        for name, parameter in named(network).items():
            parameter.copy_(to_torch(name, weights[name]))
    return network


def named(network: Network) -> dict[str, Tensor]:
    """Its parameters under megan's names."""
    found = {}
    for layer in range(LAYERS):
        found[f"cls.conv{layer}"] = network.body[3 * layer].weight
        found[f"cls.gamma{layer}"] = network.body[3 * layer + 1].weight
        found[f"cls.beta{layer}"] = network.body[3 * layer + 1].bias
    return found | {"cls.head": network.head.weight, "cls.bias": network.head.bias}


def gradients(network: Network) -> dict[str, Tensor]:
    """The parameters' `.grad` in megan's layouts."""
    return {name: from_torch(name, parameter.grad) for name, parameter in named(network).items()}


def to_torch(name: str, weight: Tensor) -> Tensor:
    """Convolutions [3, 3, C, O] -> [O, C, 3, 3]; the head [features, outputs] -> [outputs, features]."""
    if weight.dim() == 4:
        return weight.permute(3, 2, 0, 1).contiguous()
    return weight.mT.contiguous() if name.endswith(".head") else weight


def from_torch(name: str, weight: Tensor) -> Tensor:
    if weight.dim() == 4:
        return weight.permute(2, 3, 1, 0)
    return weight.mT if name.endswith(".head") else weight
