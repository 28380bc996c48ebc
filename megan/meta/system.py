"""A variant as a learner: its initial weights, and its losses on one task.

The engine asks a system four things and knows nothing else of it: where it starts, what
each group of weights descends on in an inner step, what the outer loop descends on, and
what it predicts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from megan.data import streams
from megan.data.episodes import Episodes
from megan.meta import objectives
from megan.models import classifier, generator
from megan.models.initial import Weights
from megan.params import Inner, Variant


@dataclass(frozen=True)
class Descent:
    """One loss of an inner step and the step size of each group that descends on it."""

    loss: Tensor  # [tasks]
    rates: dict[str, float]  # group -> step size


@dataclass(frozen=True)
class System:
    variant: Variant
    inner: Inner
    ways: int

    @property
    def outputs(self) -> int:
        return self.ways + self.has_fake_output

    @property
    def has_fake_output(self) -> bool:
        return self.variant.approach == "n_plus_1"

    def initial_weights(self, seeds: Tensor, dtype: torch.dtype) -> Weights:
        """theta and phi before meta-training, each [seeds, ...]."""
        weights = classifier.initial_weights(seeds, self.outputs, dtype)
        if self.variant.has_generator:
            weights |= generator.initial_weights(seeds, self.variant.noise_size, dtype)
        return weights

    def sees_fakes(self, step: int, steps: int) -> bool:
        """Whether inner step `step` (from 0) of `steps` classifies fakes (section 4.2)."""
        return self.variant.has_generator and step >= steps - self.variant.fake_steps

    def fakes(self, weights: Weights, episodes: Episodes, step: int) -> Tensor:
        """F_i, made anew from the current phi': [tasks, M * ways * shots, 28, 28, 1]."""
        images = episodes.support.repeat(1, self.variant.fakes_per_real, 1, 1, 1)
        key = streams.bits(episodes.key, step + 1)[:, step]  # a stream an inner step
        noise = streams.normal(key, images.shape[1] * self.variant.noise_size)
        noise = noise.to(images.dtype).view(*images.shape[:2], self.variant.noise_size)
        return generator.generate(weights, images, noise)

    def inner_losses(self, weights: Weights, episodes: Episodes, step: int, steps: int) -> list[Descent]:
        """What each group descends on in one inner step, as Algorithm 1 and section 4.2 say."""
        rate = self.inner.learning_rate
        if not self.sees_fakes(step, steps):
            logits = classifier.logits(weights, episodes.support)
            return [Descent(objectives.cross_entropy(logits, episodes.support_labels), {"cls": rate})]
        fakes = self.fakes(weights, episodes, step)
        real_logits, fake_logits = self._logits_of_both(weights, episodes.support, fakes)
        theta = objectives.n_plus_1(real_logits, episodes.support_labels, fake_logits, self.variant.real_weight)
        phi = objectives.generator_loss(self.variant.gan_loss, objectives.critic_value(fake_logits))
        return [Descent(theta, {"cls": rate}), Descent(phi, {"gen": self.variant.generator_inner_lr})]

    def _logits_of_both(self, weights: Weights, reals: Tensor, fakes: Tensor) -> tuple[Tensor, Tensor]:
        if not self.variant.shared_statistics:
            return classifier.logits(weights, reals), classifier.logits(weights, fakes)
        both = classifier.logits(weights, torch.cat([reals, fakes], dim=1))
        return both.split([reals.shape[1], fakes.shape[1]], dim=1)

    def outer_loss(self, logits: Tensor, episodes: Episodes) -> Tensor:
        """The real outer loss: cross-entropy of the adapted weights on the real query (section 4.2).

        `logits` [tasks, ways * queries, outputs] -> [tasks].
        """
        return objectives.cross_entropy(logits, episodes.query_labels)

    def scores(self, logits: Tensor, episodes: Episodes) -> tuple[Tensor, Tensor]:
        """Accuracy by the largest of the N class outputs, and how often the fake output wins; each [tasks]."""
        correct = logits[..., : self.ways].argmax(dim=-1) == episodes.query_labels
        fake_wins = logits.argmax(dim=-1) >= self.ways
        return correct.double().mean(dim=1), fake_wins.double().mean(dim=1)
