"""MAML by hand: a loop over tasks, plain autograd with `create_graph=True`, the graph freed after each task."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.contenders.functional import classify
from benchmarks.contenders.network import from_torch, to_torch
from benchmarks.contenders.problem import Problem


class Contender:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.weights = {name: to_torch(name, value).requires_grad_() for name, value in problem.weights.items()}
        self.support, self.query = problem.planar(problem.support), problem.planar(problem.query)

    def gradient(self) -> None:
        total = [torch.zeros_like(weight) for weight in self.weights.values()]
        for support, query in zip(self.support, self.query, strict=True):
            loss = self.task_loss(support, query) / self.problem.meta_batch
            for sum_, gradient in zip(total, torch.autograd.grad(loss, list(self.weights.values())), strict=True):
                sum_ += gradient
        self.total = dict(zip(self.weights, total, strict=True))

    def task_loss(self, support: Tensor, query: Tensor) -> Tensor:
        weights = self.weights
        for _ in range(self.problem.steps):
            loss = F.cross_entropy(classify(weights, support, self.problem.sizes), self.problem.support_labels)
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {
                name: weight - self.problem.rate * gradient
                for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
            }
        return F.cross_entropy(classify(weights, query, self.problem.sizes), self.problem.query_labels)

    def result(self) -> dict[str, Tensor]:
        return {name: from_torch(name, value) for name, value in self.total.items()}
