"""TorchOpt: `MetaSGD`, its state saved before each task and restored after it, as in its own MAML example."""

import torch.nn.functional as F
import torchopt
from torch import Tensor

from benchmarks.contenders import network
from benchmarks.contenders.problem import Problem


class Contender:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.network = network.build(problem)
        self.meta = list(self.network.parameters())  # MetaSGD replaces the network's tensors
        self.inner = torchopt.MetaSGD(self.network, lr=problem.rate)
        self.support, self.query = problem.planar(problem.support), problem.planar(problem.query)

    def gradient(self) -> None:
        for parameter in self.meta:
            parameter.grad = None
        before = torchopt.extract_state_dict(self.network, by="reference")
        state = torchopt.extract_state_dict(self.inner, by="reference")
        for support, query in zip(self.support, self.query, strict=True):
            for _ in range(self.problem.steps):
                self.inner.step(F.cross_entropy(self.network(support), self.problem.support_labels))
            loss = F.cross_entropy(self.network(query), self.problem.query_labels)
            (loss / self.problem.meta_batch).backward()
            torchopt.recover_state_dict(self.network, before)
            torchopt.recover_state_dict(self.inner, state)

    def result(self) -> dict[str, Tensor]:
        return network.gradients(self.network)
