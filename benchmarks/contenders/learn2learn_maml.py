"""learn2learn: `MAML(...).clone()` and `adapt()`, as in its own MAML example."""

import learn2learn
import torch.nn.functional as F
from torch import Tensor

from benchmarks.contenders import network
from benchmarks.contenders.problem import Problem


class Contender:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.network = network.build(problem)
        self.maml = learn2learn.algorithms.MAML(self.network, lr=problem.rate, first_order=False)
        self.support, self.query = problem.planar(problem.support), problem.planar(problem.query)

    def gradient(self) -> None:
        self.maml.zero_grad()
        for support, query in zip(self.support, self.query, strict=True):
            learner = self.maml.clone()
            for _ in range(self.problem.steps):
                learner.adapt(F.cross_entropy(learner(support), self.problem.support_labels))
            loss = F.cross_entropy(learner(query), self.problem.query_labels)
            (loss / self.problem.meta_batch).backward()

    def result(self) -> dict[str, Tensor]:
        return network.gradients(self.network)
