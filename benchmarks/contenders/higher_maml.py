"""higher: `innerloop_ctx` with the initial weights kept in the graph, as in its own MAML example."""

import higher
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.contenders import network
from benchmarks.contenders.problem import Problem


class Contender:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.network = network.build(problem)
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=problem.rate)
        self.support, self.query = problem.planar(problem.support), problem.planar(problem.query)

    def gradient(self) -> None:
        self.network.zero_grad()
        for support, query in zip(self.support, self.query, strict=True):
            with higher.innerloop_ctx(self.network, self.optimiser, copy_initial_weights=False) as (adapted, optimiser):
                for _ in range(self.problem.steps):
                    optimiser.step(F.cross_entropy(adapted(support), self.problem.support_labels))
                loss = F.cross_entropy(adapted(query), self.problem.query_labels)
                (loss / self.problem.meta_batch).backward()

    def result(self) -> dict[str, Tensor]:
        return network.gradients(self.network)
