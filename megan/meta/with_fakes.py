"""The common part of N+1 and multi-task: a source of fakes, a critic, and outer losses that may use both."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from megan.data.episodes import Episodes
from megan.meta import fakes, gan_loss, losses
from megan.meta.gan_loss import GanLoss
from megan.meta.system import PHI, THETA, Descent, System
from megan.models import generator
from megan.models.generator import Generator
from megan.models.initial import Weights
from megan.ops import streams


@dataclass(frozen=True)
class WithFakes(System):
    """A classifier that trains on fakes in the last `fake_steps` inner steps, and a generator that may learn there."""

    @cached_property
    def gan_loss(self) -> GanLoss:
        return gan_loss.load(self.variant.gan_loss)

    @cached_property
    def generator(self) -> Generator | None:
        variant = self.variant
        if variant.fake_source not in ("generator", "frozen_generator"):
            return None
        return Generator(
            variant.generator,
            variant.skip,
            variant.conditioning == "image",
            variant.noise_size,
            self.sizes,
            self.ways if variant.conditioning == "label" else 0,
            self.prototype_size if variant.conditioning == "prototype" else 0,
        )

    @property
    def generator_learns(self) -> bool:
        return self.variant.fake_source == "generator"

    @property
    def makes_fakes(self) -> bool:
        return bool(self.variant.fake_steps) or self.variant.uses_outer_fakes

    @property
    def fakes_in_query_batch(self) -> bool:
        """Whether the classifier has the queries and outer fakes in one batch."""
        variant = self.variant
        classified = variant.outer_fake_weight or (self.has_fake_output and variant.uses_outer_fakes)
        return variant.outer_fake_batch == "with_query" and bool(classified)

    @property
    def others(self) -> int:
        return self.variant.fakes_per_real if self.variant.takes_others else 0

    def initial_weights(self, seeds: Tensor, dtype: torch.dtype) -> Weights:
        weights = super().initial_weights(seeds, dtype)
        return weights | generator.initial_weights(seeds, self.generator, dtype) if self.generator else weights

    def sees_fakes(self, step: int) -> bool:
        """Whether inner step `step` (from 0) trains on fakes (section 4.2).

        The last `fake_steps` of meta-training's steps do. Meta-test may take more or fewer steps; it uses fakes from
        the same step on.
        """
        return self.variant.fake_steps > 0 and step >= self.inner.steps - self.variant.fake_steps

    def fakes(self, weights: Weights, episodes: Episodes, step: int) -> Tensor:
        """New fakes F_i from the current phi': [tasks, M * ways * shots, side, side, channels]."""
        return fakes.make(self.variant, self.generator, weights, episodes, step)

    def fake_labels(self, episodes: Episodes) -> Tensor:
        """The class that each fake was made from: int64 [M * ways * shots]."""
        return fakes.labels(self.variant, episodes)

    def normalising(self, reals: int | None) -> int | None:
        # A batch without reals, as that of the gradient penalty, has its own statistics.
        return reals or None if self.variant.batch_statistics == "reals" else None

    @abstractmethod
    def criticise(self, weights: Weights, images: Tensor, labels: Tensor, reals: int | None = None) -> Tensor:
        """Critic values [tasks, images] of one batch; its first `reals` images (all, if None) are real.

        A high value means real.
        """

    @abstractmethod
    def is_critics_own(self, name: str) -> bool:
        """Whether only the critic uses a weight, so that clipping it affects nothing else."""

    @abstractmethod
    def label_fakes(self, logits: Tensor, episodes: Episodes) -> Tensor:
        """The classifier's target for each fake, given its `logits` on fakes: int64 [fakes]."""

    @abstractmethod
    def adversarial_losses(self, weights: Weights, episodes: Episodes, made: Tensor, step: int) -> list[Descent]:
        """The losses of theta in an inner step with the fakes `made`, then those of phi."""

    def inner_losses(self, weights: Weights, episodes: Episodes, step: int) -> list[Descent]:
        if not self.sees_fakes(step):
            return [self.classification(weights, episodes)]
        return self.adversarial_losses(weights, episodes, self.fakes(weights, episodes, step), step)

    def generator_descent(self, on_fakes: Tensor, classification: Tensor | float = 0.0) -> list[Descent]:
        """The inner step of phi on its GAN loss plus `classification` [tasks], if the generator learns."""
        if not self.generator_learns:
            return []
        loss = self.gan_loss.generator(on_fakes) + classification
        return [Descent(loss, {"gen": self.variant.generator_inner_lr})]

    def classify_both(self, weights: Weights, reals: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits of reals and of fakes, which are one batch or two as `batch_statistics` says."""
        if self.variant.batch_statistics == "apart":
            return self.classify(weights, reals), self.classify(weights, made, 0)
        count = reals.shape[1]
        both = self.classify(weights, torch.cat([reals, made], dim=1), count)
        return both[:, :count], both[:, count:]

    def criticise_both(
        self, weights: Weights, reals: tuple[Tensor, Tensor], made: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Critic values of reals and of fakes, each given with labels, in one batch or two as in `classify_both`."""
        if self.variant.batch_statistics == "apart":
            return self.criticise(weights, *reals), self.criticise(weights, *made, 0)
        images, labels = (
            torch.cat(pair, dim=dim) for pair, dim in zip(zip(reals, made, strict=True), (1, 0), strict=True)
        )
        count = reals[0].shape[1]
        values = self.criticise(weights, images, labels, count)
        return values[:, :count], values[:, count:]

    def held_out_values(self, weights: Weights, episodes: Episodes, made: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Critic values of real query images and of the fakes `made`, [tasks, images] each.

        The batches are like those of adaptation: as many reals as the support holds, and fakes
        among them unless `batch_statistics` is `apart`. `number` selects other queries for each draw of fakes.
        """
        ways, shots = episodes.ways, episodes.support.shape[1] // episodes.ways
        query = episodes.query.unflatten(1, (ways, -1))
        picked = torch.arange(number * shots, (number + 1) * shots, device=query.device) % query.shape[2]
        reals = query[:, :, picked].flatten(1, 2)
        return self.criticise_both(weights, (reals, episodes.support_labels), (made, self.fake_labels(episodes)))

    @property
    def critic_is_log_odds(self) -> bool:
        """Whether the sigmoid of a critic value is a probability."""
        return self.has_fake_output or not (self.gan_loss.clips_weights or self.gan_loss.penalises_gradient)

    def fake_probabilities(self, weights: Weights, episodes: Episodes, step: int) -> Tensor:
        if not (self.makes_fakes and self.critic_is_log_odds):
            return super().fake_probabilities(weights, episodes, step)
        values = self.held_out_values(weights, episodes, self.fakes(weights, episodes, step), 0)
        return torch.stack([torch.sigmoid(-found).double().mean(dim=1) for found in values])

    def penalty(self, weights: Weights, episodes: Episodes, made: Tensor, step: int) -> Tensor | float:
        """The weighted gradient penalty at random points between reals and fakes, if the GAN loss has one."""
        if not self.gan_loss.penalises_gradient:
            return 0.0
        reals = episodes.support.repeat(1, self.variant.fakes_per_real, 1, 1, 1)
        key = streams.bits(episodes.key ^ 1, step + 1)[:, step]
        share = streams.uniform(key, made.shape[1]).to(made.dtype)[..., None, None, None]
        between = share * reals + (1 - share) * made
        if not between.requires_grad:
            between.requires_grad_()
        values = self.criticise(weights, between, self.fake_labels(episodes), 0)
        of_batch = self.variant.penalty_norm == "batch"
        return self.variant.gradient_penalty * gan_loss.gradient_penalty(values, between, of_batch)

    def project(self, weights: Weights) -> Weights:
        """Clip the weights that only the critic uses, if the GAN loss requires it (Arjovsky et al. 2017).

        The meta-gradient ignores the clipping (straight-through).
        """
        if not self.gan_loss.clips_weights:
            return weights
        bound = self.variant.clip

        def clipped(value: Tensor) -> Tensor:
            return value + (value.clamp(-bound, bound) - value).detach()

        return {name: clipped(value) if self.is_critics_own(name) else value for name, value in weights.items()}

    def answer(self, weights: Weights, episodes: Episodes, step: int) -> Tensor:
        if not self.fakes_in_query_batch:
            return super().answer(weights, episodes, step)
        return self.classify_both(weights, episodes.query, self.fakes(weights, episodes, step))[0]

    def outer_losses(self, weights: Weights, episodes: Episodes) -> tuple[Tensor, list[Descent]]:
        """The query's class logits for adapted weights, and the losses of the outer loop (sections 3.4, 4.2).

        Cross-entropy on real queries, plus `outer_fake_weight` times that on new fakes made from
        the support, plus `outer_discrimination_weight` times the GAN loss of each side. With
        `generator_outer_loss: fooling` ("hybrid") phi descends only on its GAN loss.
        """
        variant = self.variant
        fooling = variant.generator_outer_loss == "fooling"
        weight = variant.outer_discrimination_weight
        groups = THETA if fooling else THETA + PHI
        if not variant.uses_outer_fakes:
            logits = self.answer(weights, episodes, self.inner.steps)
            return logits, [Descent(self.query_loss(logits, episodes), dict.fromkeys(groups, 1.0))]
        made = self.fakes(weights, episodes, self.inner.steps)
        logits, on_fake = self._outer_logits(weights, episodes, made)
        loss = self.query_loss(logits, episodes)
        if on_fake is not None:
            loss = loss + variant.outer_fake_weight * losses.cross_entropy(on_fake, self.label_fakes(on_fake, episodes))
        found = [Descent(loss, dict.fromkeys(groups, 1.0))]
        if weight:
            on_reals, on_fakes = self._outer_values(weights, episodes, made)
            found.append(Descent(self.gan_loss.critic(on_reals, on_fakes), dict.fromkeys(THETA, weight)))
            found.append(Descent(self.gan_loss.generator(on_fakes), dict.fromkeys(PHI, weight)))
        if fooling:
            held = {name: value if name.startswith("gen.") else value.detach() for name, value in weights.items()}
            critic = weights if variant.fooling_through == "both" else held
            found.append(
                Descent(self.gan_loss.generator(self._outer_value_of_fakes(critic, episodes, made)), {"gen": 1.0})
            )
        return logits, found

    def _outer_logits(self, weights: Weights, episodes: Episodes, made: Tensor) -> tuple[Tensor, Tensor | None]:
        """Class logits of the query, and of outer fakes if their classes are in the outer loss."""
        if self.fakes_in_query_batch:
            on_query, on_fake = self.classify_both(weights, episodes.query, made)
            return on_query, on_fake if self.variant.outer_fake_weight else None
        on_query = self.classify(weights, episodes.query)
        return on_query, self.classify(weights, made, 0) if self.variant.outer_fake_weight else None

    def _outer_values(self, weights: Weights, episodes: Episodes, made: Tensor) -> tuple[Tensor, Tensor]:
        """Critic values of the query, and of outer fakes."""
        reals = (episodes.query, episodes.query_labels)
        if self.variant.outer_fake_batch == "with_query":
            return self.criticise_both(weights, reals, (made, self.fake_labels(episodes)))
        return self.criticise(weights, *reals), self._outer_value_of_fakes(weights, episodes, made)

    def _outer_value_of_fakes(self, weights: Weights, episodes: Episodes, made: Tensor) -> Tensor:
        if self.variant.outer_fake_batch == "with_query":
            return self._outer_values(weights, episodes, made)[1]
        return self.criticise(weights, made, self.fake_labels(episodes), 0)
