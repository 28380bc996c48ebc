"""N+1 with a generator as a peer's user would write it: torch's layers, a loop over tasks, plain autograd.

Theta descends on the N+1 classification of reals and fakes, phi on the generator's loss,
both at the same point. The outer loss is on the real query (the paper's section 4.2). The
noise is given here; a user would draw it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.contenders.functional import classify, normalise
from benchmarks.contenders.network import from_torch, to_torch
from benchmarks.contenders.problem import Problem


def generate(weights: dict[str, Tensor], images: Tensor, noise: Tensor) -> Tensor:
    """[fakes, channels, side, side] and [fakes, noise_size] -> [fakes, channels, side, side]"""

    def layer(name: str, x: Tensor, stride: int) -> Tensor:
        z = F.conv2d(x, weights[f"gen.{name}.conv"], stride=stride, padding=1)
        return normalise(z, weights[f"gen.{name}.gamma"], weights[f"gen.{name}.beta"])

    encoded = layer("encode1", layer("encode0", images, 2), 2)
    spread = (noise @ weights["gen.code"]).view(len(images), *encoded.shape[2:], -1).permute(0, 3, 1, 2)
    x = torch.cat([encoded, spread], dim=1)
    x = layer("decode1", F.interpolate(layer("decode0", x, 1), scale_factor=2), 1)
    x = layer("decode2", F.interpolate(x, scale_factor=2), 1)
    return torch.sigmoid(F.conv2d(x, weights["gen.paint"], weights["gen.bias"], padding=1))


class Contender:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.weights = {name: to_torch(name, value).requires_grad_() for name, value in problem.weights.items()}
        self.support, self.query = problem.planar(problem.support), problem.planar(problem.query)

    def gradient(self) -> None:
        total = [torch.zeros_like(weight) for weight in self.weights.values()]
        for support, query, noise in zip(self.support, self.query, self.problem.noise, strict=True):
            loss = self.task_loss(support, query, noise) / self.problem.meta_batch
            gradients = torch.autograd.grad(
                loss, list(self.weights.values()), allow_unused=True, materialize_grads=True
            )
            for sum_, gradient in zip(total, gradients, strict=True):
                sum_ += gradient
        self.total = dict(zip(self.weights, total, strict=True))

    def task_loss(self, support: Tensor, query: Tensor, noise: Tensor) -> Tensor:
        problem, weights = self.problem, self.weights
        for step in range(problem.steps):
            if step < problem.steps - problem.options["fake_steps"]:
                theta = F.cross_entropy(classify(weights, support, problem.sizes), problem.support_labels)
                weights = descend(weights, [("cls.", problem.rate, theta)])
                continue
            fakes = generate(weights, support.repeat(problem.options["fakes_per_real"], 1, 1, 1), noise[step])
            real, fake = self.logits_of_both(weights, support, fakes)
            labels = torch.full((len(fake),), problem.ways, device=fake.device)
            weight = problem.options["real_weight"]
            theta = weight * F.cross_entropy(real, problem.support_labels) + F.cross_entropy(fake, labels)
            real_odds = fake[:, :-1].logsumexp(dim=1) - fake[:, -1]  # log D / (1 - D)
            if problem.options["gan_loss"] == "non_saturating":
                phi = F.softplus(-real_odds).mean()
            else:
                phi = -F.softplus(real_odds).mean()
            generator_rate = problem.options["generator_inner_lr"]
            weights = descend(weights, [("cls.", problem.rate, theta / (weight + 1)), ("gen.", generator_rate, phi)])
        return F.cross_entropy(classify(weights, query, problem.sizes), problem.query_labels)

    def logits_of_both(self, weights: dict[str, Tensor], real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        if self.problem.options["batch_statistics"] == "apart":
            return classify(weights, real, self.problem.sizes), classify(weights, fake, self.problem.sizes)
        both = classify(weights, torch.cat([real, fake]), self.problem.sizes)
        return both[: len(real)], both[len(real) :]

    def result(self) -> dict[str, Tensor]:
        return {name: from_torch(name, value) for name, value in self.total.items()}


def descend(weights: dict[str, Tensor], losses: list[tuple[str, float, Tensor]]) -> dict[str, Tensor]:
    """One step: each group of weights (by the start of its names) moves along its own loss."""
    moved = dict(weights)
    for group, rate, loss in losses:
        names = [name for name in weights if name.startswith(group)]
        gradients = torch.autograd.grad(loss, [weights[name] for name in names], create_graph=True)
        for name, gradient in zip(names, gradients, strict=True):
            moved[name] = weights[name] - rate * gradient
    return moved
