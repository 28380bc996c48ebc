"""torch.func: `vmap(grad(...))` over tasks, all of them at once or in chunks.

`vmap(grad)` and not `grad(vmap)`, which is silently wrong through `F.batch_norm`.
"""

import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, vmap

from benchmarks.contenders.functional import classify
from benchmarks.contenders.network import from_torch, to_torch
from benchmarks.contenders.problem import Problem


class Contender:
    chunk: int | None = None

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.weights = {name: to_torch(name, value) for name, value in problem.weights.items()}
        self.support, self.query = problem.planar(problem.support), problem.planar(problem.query)
        self.over_tasks = vmap(grad(self.task_loss), in_dims=(None, 0, 0), chunk_size=self.chunk)

    def task_loss(self, weights: dict[str, Tensor], support: Tensor, query: Tensor) -> Tensor:
        def inner_loss(weights: dict[str, Tensor]) -> Tensor:
            return F.cross_entropy(classify(weights, support, self.problem.sizes), self.problem.support_labels)

        for _ in range(self.problem.steps):
            gradients = grad(inner_loss)(weights)
            weights = {name: weight - self.problem.rate * gradients[name] for name, weight in weights.items()}
        return F.cross_entropy(classify(weights, query, self.problem.sizes), self.problem.query_labels)

    def gradient(self) -> None:
        gradients = self.over_tasks(self.weights, self.support, self.query)
        self.total = {name: value.sum(dim=0) / self.problem.meta_batch for name, value in gradients.items()}

    def result(self) -> dict[str, Tensor]:
        return {name: from_torch(name, value) for name, value in self.total.items()}
