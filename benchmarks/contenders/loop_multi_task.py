"""Multi-task without shared layers as a peer's user would write it: torch's layers, a loop over tasks, plain autograd.

A classifier, which is told by an input channel whether an image is real and trains on fakes as on further shots, a
discriminator, and a generator; each descends on its own loss at the same point. The outer loss is on the real query
(the paper's sections 3.2 and 4.1). The noise is given here; a user would draw it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.contenders import loop_n_plus_1
from benchmarks.contenders.functional import classify
from benchmarks.contenders.loop_n_plus_1 import descend, generate


def told(images: Tensor, real: float) -> Tensor:
    """[images, 1, height, width] with a second channel: 1 for reals, 0 for fakes."""
    return torch.cat([images, torch.full_like(images, real)], dim=1)


class Contender(loop_n_plus_1.Contender):
    def task_loss(self, support: Tensor, query: Tensor, noise: Tensor) -> Tensor:
        problem, weights, labels = self.problem, self.weights, self.problem.support_labels
        rate, weight, count = problem.rate, problem.options["real_weight"], len(support)
        for step in range(problem.steps):
            if step < problem.steps - problem.options["fake_steps"]:
                theta = F.cross_entropy(classify(weights, told(support, 1), problem.sizes), labels)
                weights = descend(weights, [("cls.", rate, theta)])
                continue
            fakes = generate(weights, support.repeat(problem.options["fakes_per_real"], 1, 1, 1), noise[step])
            logits = classify(weights, torch.cat([told(support, 1), told(fakes, 0)]), problem.sizes)
            on_real = F.cross_entropy(logits[:count], labels)
            on_fake = F.cross_entropy(logits[count:], labels.repeat(problem.options["fakes_per_real"]))
            theta = (weight * on_real + on_fake) / (weight + 1)
            values = classify(weights, torch.cat([support, fakes]), problem.sizes, "dsc")[:, 0]
            discrimination = F.softplus(-values[:count]).mean() + F.softplus(values[count:]).mean()
            phi = F.softplus(-values[count:]).mean()
            generator_rate = problem.options["generator_inner_lr"]
            weights = descend(
                weights, [("cls.", rate, theta), ("dsc.", rate, discrimination), ("gen.", generator_rate, phi)]
            )
        return F.cross_entropy(classify(weights, told(query, 1), problem.sizes), problem.query_labels)
