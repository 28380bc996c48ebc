"""A variant as a learner: its initial weights, and its losses on one task.

The engine knows nothing else of a variant: where it starts, what each group of weights
descends on in an inner step and in the outer loop, and what it predicts. Groups are
`shared`, `cls` and `dsc` (theta of Algorithm 1) and `gen` (phi).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from megan.data import episodes as sampler
from megan.data import streams
from megan.data.episodes import Episodes
from megan.data.packed import Split
from megan.meta import fakes, objectives
from megan.models import classifier, generator
from megan.models.classifier import Branch
from megan.models.generator import Generator
from megan.models.initial import Weights
from megan.params import Inner, Tasks, Variant

THETA = ("shared", "cls", "dsc")
PHI = ("gen",)


@dataclass(frozen=True)
class Descent:
    """A loss, and the step size of each group of weights that descends on it."""

    loss: Tensor  # [tasks]
    rates: dict[str, float]  # group -> step size; in the outer loop, where Adam has its own, a weight


@dataclass(frozen=True)
class System:
    variant: Variant
    inner: Inner
    ways: int
    prototype_size: int = 0  # of the encoder, where the generator is conditioned on prototypes

    @property
    def has_fake_output(self) -> bool:
        return self.variant.approach == "n_plus_1"

    @cached_property
    def cls(self) -> Branch:
        """The classifier: of N or N+1 outputs; in multi-task it may be told what is real."""
        multi_task = self.variant.approach == "multi_task"
        planes = int(multi_task and self.variant.told_real)
        return Branch("cls", self.ways + self.has_fake_output, self.variant.shared_layers if multi_task else 0, planes)

    @cached_property
    def dsc(self) -> Branch | None:
        """The discriminator of multi-task. In N+1 the classifier is the critic."""
        if self.variant.approach != "multi_task":
            return None
        planes = self.ways if self.variant.condition_discriminator else 0
        return Branch("dsc", 1, self.variant.shared_layers, planes, layer_norm=self.variant.gan_loss == "wasserstein_gp")

    @cached_property
    def generator(self) -> Generator | None:
        variant = self.variant
        if variant.approach == "maml" or variant.fake_source not in ("generator", "frozen_generator"):
            return None
        return Generator(
            variant.generator,
            variant.skip,
            variant.conditioning == "image",
            variant.noise_size,
            self.ways if variant.conditioning == "label" else 0,
            self.prototype_size if variant.conditioning == "prototype" else 0,
        )

    @property
    def generator_learns(self) -> bool:
        return self.generator is not None and self.variant.fake_source == "generator"

    @property
    def makes_fakes(self) -> bool:
        """Whether any loss ever sees a fake; such a variant has samples to show."""
        variant = self.variant
        outer = variant.outer_fake_weight or variant.outer_discrimination_weight or variant.generator_outer_loss == "fooling"
        return variant.approach != "maml" and bool(variant.fake_steps or outer)

    def initial_weights(self, seeds: Tensor, dtype: torch.dtype) -> Weights:
        """theta and phi before meta-training, each [seeds, ...]."""
        weights = classifier.initial_weights(seeds, self.cls, dtype)
        if self.dsc:
            weights = classifier.initial_weights(seeds, self.dsc, dtype) | weights
        if self.generator:
            weights |= generator.initial_weights(seeds, self.generator, dtype)
        return weights

    def sample(
        self, split: Split, seeds: Tensor, purpose: str, step: Tensor | int, numbers: Tensor, tasks: Tasks, queries: int, dtype: torch.dtype
    ) -> Episodes:
        """The tasks `numbers` of each seed, with what this variant needs beside them; see `episodes.sample`."""
        others = self.variant.fakes_per_real if self.variant.takes_others else 0
        return sampler.sample(
            split, seeds, purpose, step, numbers,
            ways=tasks.ways, shots=tasks.shots, queries=queries, scope=tasks.scope, others=others, dtype=dtype,
        )  # fmt: skip

    def sees_fakes(self, step: int, steps: int) -> bool:
        """Whether inner step `step` (from 0) of `steps` trains on fakes (section 4.2)."""
        return self.variant.approach != "maml" and step >= steps - self.variant.fake_steps

    def fakes(self, weights: Weights, episodes: Episodes, step: int) -> Tensor:
        """F_i, made anew from the current phi': [tasks, M * ways * shots, height, width, 1]."""
        return fakes.make(self.variant, self.generator, weights, episodes, step)

    def classify(self, weights: Weights, images: Tensor, reals: int | None = None) -> Tensor:
        """Class logits [tasks, images, outputs] of one batch whose first `reals` (all, if None) are real."""
        planes = None
        if self.cls.planes:
            planes = torch.ones(*images.shape[:2], 1, dtype=images.dtype, device=images.device)
            if reals is not None:
                planes[:, reals:] = 0
        return classifier.logits(weights, self.cls, images, planes)

    def criticise(self, weights: Weights, images: Tensor, labels: Tensor) -> Tensor:
        """Critic values [tasks, images]: how real each image is found."""
        if not self.dsc:
            return objectives.critic_value(self.classify(weights, images))
        planes = None
        if self.dsc.planes:
            planes = torch.nn.functional.one_hot(labels, self.ways).to(images.dtype).expand(len(images), -1, -1)
        return classifier.logits(weights, self.dsc, images, planes)[..., 0]

    def inner_losses(self, weights: Weights, episodes: Episodes, step: int, steps: int) -> list[Descent]:
        """What each group descends on in one inner step: Algorithm 1 and section 4.2 as read in the paper notes."""
        rate, reals = self.inner.learning_rate, episodes.support
        if not self.sees_fakes(step, steps):
            logits = self.classify(weights, reals)
            return [Descent(objectives.cross_entropy(logits, episodes.support_labels), {"shared": rate, "cls": rate})]
        made = self.fakes(weights, episodes, step)
        if self.dsc:
            theta, on_reals, on_fakes = self._multi_task(weights, episodes, made)
            discrimination = objectives.discriminator_loss(self.variant.gan_loss, on_reals, on_fakes)
            discrimination = discrimination + self._penalty(weights, episodes, made, step)
            shared = self.variant.discrimination_weight * rate
            losses = [Descent(theta, {"shared": rate, "cls": rate}), Descent(discrimination, {"shared": shared, "dsc": rate})]
        else:
            on_real, on_fake = self._apart(lambda batch: self.classify(weights, batch), reals, made)
            theta = objectives.real_and_fake(
                objectives.cross_entropy(on_real, episodes.support_labels),
                objectives.cross_entropy(on_fake, objectives.fake_output(on_fake)),
                self.variant.real_weight,
            )
            on_fakes = objectives.critic_value(on_fake)
            losses = [Descent(theta + self._penalty(weights, episodes, made, step), {"cls": rate})]
        if self.generator_learns:
            phi = objectives.generator_loss(self.variant.gan_loss, on_fakes)
            losses.append(Descent(phi, {"gen": self.variant.generator_inner_lr}))
        return losses

    def _multi_task(self, weights: Weights, episodes: Episodes, made: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L_cls, and the critic's values of reals and fakes (section 3.2)."""
        reals, labels = episodes.support, fakes.labels(self.variant, episodes)
        if self.variant.classify_fakes:
            count = reals.shape[1]
            if self.variant.shared_statistics:
                both = self.classify(weights, torch.cat([reals, made], dim=1), count)
                on_real, on_fake = both[:, :count], both[:, count:]
            else:
                on_real, on_fake = self.classify(weights, reals), self.classify(weights, made, 0)
            theta = objectives.real_and_fake(
                objectives.cross_entropy(on_real, episodes.support_labels),
                objectives.cross_entropy(on_fake, labels),
                self.variant.real_weight,
            )
        else:
            theta = objectives.cross_entropy(self.classify(weights, reals), episodes.support_labels)
        all_labels = torch.cat([episodes.support_labels, labels])
        if self.variant.shared_statistics:
            values = self.criticise(weights, torch.cat([reals, made], dim=1), all_labels)
            return theta, values[:, : reals.shape[1]], values[:, reals.shape[1] :]
        return theta, self.criticise(weights, reals, episodes.support_labels), self.criticise(weights, made, labels)

    def _apart(self, network: Callable[[Tensor], Tensor], reals: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs for reals and for fakes, with batch statistics in common or not."""
        if not self.variant.shared_statistics:
            return network(reals), network(made)
        return network(torch.cat([reals, made], dim=1)).split([reals.shape[1], made.shape[1]], dim=1)

    def _penalty(self, weights: Weights, episodes: Episodes, made: Tensor, step: int) -> Tensor | float:
        """The weighted gradient penalty at random points between reals and fakes, under `wasserstein_gp`."""
        if self.variant.gan_loss != "wasserstein_gp":
            return 0.0
        reals = episodes.support.repeat(1, self.variant.fakes_per_real, 1, 1, 1)
        key = streams.bits(episodes.key ^ 1, step + 1)[:, step]
        share = streams.uniform(key, made.shape[1]).to(made.dtype)[..., None, None, None]
        between = share * reals + (1 - share) * made
        if not between.requires_grad:
            between.requires_grad_()
        values = self.criticise(weights, between, fakes.labels(self.variant, episodes))
        return self.variant.gradient_penalty * objectives.gradient_penalty(values, between)

    def project(self, weights: Weights) -> Weights:
        """Clip what only the critic uses, under `wasserstein` (Arjovsky et al. 2017): dsc's own
        layers, and in N+1 the head. Straight through: the meta-gradient does not see the bound.
        """
        if self.variant.gan_loss != "wasserstein" or self.variant.approach == "maml":
            return weights
        bound = self.variant.clip
        clipped = dict(weights)
        for name, value in weights.items():
            group, _, rest = name.partition(".")
            # Scale and shift of normalisation are no weights of the critic's slope.
            if (group == "dsc" and rest.startswith(("conv", "head"))) or (not self.dsc and name == "cls.head"):
                clipped[name] = value + (value.clamp(-bound, bound) - value).detach()
        return clipped

    def outer_losses(self, weights: Weights, logits: Tensor, episodes: Episodes) -> list[Descent]:
        """What the outer loop descends on (sections 3.4, 4.2); `weights` adapted, `logits` on the query.

        Cross-entropy on the real query, plus `outer_fake_weight` times that on fakes made
        anew from the support, plus `outer_discrimination_weight` times each side's GAN loss.
        Under `generator_outer_loss: fooling` ("hybrid") phi has its GAN loss alone.
        """
        variant = self.variant
        loss = objectives.cross_entropy(logits, episodes.query_labels)
        fooling = variant.generator_outer_loss == "fooling"
        weight = variant.outer_discrimination_weight
        groups = THETA if fooling else THETA + PHI
        if variant.approach == "maml" or not (fooling or weight or variant.outer_fake_weight):
            return [Descent(loss, dict.fromkeys(groups, 1.0))]
        made, labels = self.fakes(weights, episodes, self.inner.steps), fakes.labels(variant, episodes)
        if variant.outer_fake_weight:
            on_fake = self.classify(weights, made, 0)
            wanted = objectives.fake_output(on_fake) if self.has_fake_output else labels
            loss = loss + variant.outer_fake_weight * objectives.cross_entropy(on_fake, wanted)
        losses = [Descent(loss, dict.fromkeys(groups, 1.0))]
        if weight:
            on_reals = self.criticise(weights, episodes.query, episodes.query_labels)
            on_fakes = self.criticise(weights, made, labels)
            losses.append(Descent(objectives.discriminator_loss(variant.gan_loss, on_reals, on_fakes), dict.fromkeys(THETA, weight)))
            losses.append(Descent(objectives.generator_loss(variant.gan_loss, on_fakes), dict.fromkeys(PHI, weight)))
        if fooling:
            judge = {name: value if name.startswith("gen.") else value.detach() for name, value in weights.items()}
            judge = weights if variant.fooling_through == "both" else judge
            losses.append(Descent(objectives.generator_loss(variant.gan_loss, self.criticise(judge, made, labels)), {"gen": 1.0}))
        return losses

    def query_loss(self, logits: Tensor, episodes: Episodes) -> Tensor:
        """Cross-entropy on the real query, the outer loss's first term and what curves show: [tasks]."""
        return objectives.cross_entropy(logits, episodes.query_labels)

    def scores(self, logits: Tensor, episodes: Episodes) -> tuple[Tensor, Tensor]:
        """Accuracy by the largest of the N class outputs, and how often the fake output wins; each [tasks]."""
        correct = logits[..., : self.ways].argmax(dim=-1) == episodes.query_labels
        fake_wins = logits.argmax(dim=-1) >= self.ways
        return correct.double().mean(dim=1), fake_wins.double().mean(dim=1)
