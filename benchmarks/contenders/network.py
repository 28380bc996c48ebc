"""The network in torch's own layers, as a user of a peer would write it, and megan's weights in it.

Four 3x3 convolutions without bias, each with batch normalisation by the current batch and ReLU; a linear head. For
28x28 pixels 64 filters, stride 2 and the spatial mean; for 84x84 pixels 32 filters, max-pooling and the whole last map.
"""

import torch
from torch import Tensor, nn

from benchmarks.contenders.functional import features
from benchmarks.contenders.problem import Problem

LAYERS = 4


class Network(nn.Module):
    def __init__(self, sizes: dict, inputs: int, outputs: int) -> None:
        super().__init__()
        self.sizes, filters, pool = sizes, sizes["filters"], sizes["max_pool"]
        blocks: list[nn.Module] = []
        for channels in (sizes["channels"], *[filters] * (LAYERS - 1)):
            layers = [
                nn.Conv2d(channels, filters, 3, stride=1 if pool else 2, padding=1, bias=False),
                nn.BatchNorm2d(filters, track_running_stats=False),
                nn.ReLU(),
            ]
            blocks.append(nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else [])))
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(features(self.body(x), self.sizes))


def build(problem: Problem) -> Network:
    weights = problem.weights
    network = Network(problem.sizes, *weights["cls.head"].shape).to(weights["cls.bias"])
    with torch.no_grad():
        for name, parameter in named(network).items():
            parameter.copy_(to_torch(name, weights[name]))
    return network


def named(network: Network) -> dict[str, Tensor]:
    """Its parameters under megan's names."""
    found = {}
    for layer in range(LAYERS):
        found[f"cls.conv{layer}"] = network.body[layer][0].weight
        found[f"cls.gamma{layer}"] = network.body[layer][1].weight
        found[f"cls.beta{layer}"] = network.body[layer][1].bias
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
