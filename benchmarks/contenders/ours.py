"""megan's engine. On a CPU each core has a process that takes chunks of tasks; on CUDA one graph has all tasks."""

import torch
from torch import Tensor

from benchmarks.contenders.problem import Problem
from megan.config import params
from megan.data.episodes import Episodes
from megan.meta import gradient, systems
from megan.meta.parallel import Chunk, Workers, cpu_chunk
from megan.meta.replayed import ChunkWork, replayed
from megan.models.initial import Weights
from megan.models.sizes import Sizes

WARM_UPS = 3


class Contender:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        sizes = Sizes(**problem.sizes)
        self.workers = Workers(device=str(problem.support.device), default_chunk=cpu_chunk(sizes.side))
        inner = params.Inner(
            steps=problem.steps, test_steps=problem.steps, learning_rate=problem.rate, first_order=False
        )
        self.system = systems.build(params.Variant(**problem.options), inner, problem.ways, sizes)
        self.weights = {name: value[None] for name, value in problem.weights.items()}  # one seed
        self.chunks = {
            tasks: self._episodes(self.workers.numbers(tasks))
            for tasks in self.workers.task_chunks(len(problem.support))
        }
        # One object, recorded and replayed, as the engine's own work is.
        self.work = ChunkWork(self._inputs, replayed(self._share, gradient.joined, self.workers, is_long=True))
        self.jobs = [(slice(0, 1), tasks) for tasks in self.chunks]
        self.replay = None if self.workers.is_cpu else self._capture()

    def _episodes(self, tasks: Tensor) -> Episodes:
        problem = self.problem
        return Episodes(
            support=problem.support[tasks],
            query=problem.query[tasks],
            support_labels=problem.support_labels,
            query_labels=problem.query_labels,
            classes=torch.zeros(len(tasks), problem.ways, dtype=torch.int64, device=tasks.device),
            key=problem.keys[tasks],
            ways=problem.ways,
        )

    def _inputs(self, chunk: Chunk) -> tuple[Weights, Episodes]:
        return self.weights, self.chunks[chunk[1]]

    def _share(self, weights: Weights, episodes: Episodes) -> dict[str, Tensor]:
        return gradient.outer_gradient(self.system, weights, episodes, self.problem.meta_batch).tensors()

    def _run(self) -> None:
        self.outer = gradient.summed(map(gradient.Outer.of, self.workers.map(self.work, self.jobs)))

    def _capture(self):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._run()
        return graph.replay

    def gradient(self) -> None:
        (self.replay or self._run)()

    def result(self) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.outer.gradient.items()}
