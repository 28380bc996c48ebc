"""Multi-task (sections 3.2, 4.1, Algorithm 1): a classifier and a discriminator.

They share 0 to 4 of their first layers; 4 is all but the heads.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from megan.data.episodes import Episodes
from megan.meta import losses
from megan.meta.system import Descent
from megan.meta.with_fakes import WithFakes
from megan.models import classifier
from megan.models.classifier import Branch
from megan.models.initial import Weights


@dataclass(frozen=True)
class MultiTask(WithFakes):
    """Fakes are further shots of the class that they were made from. The discriminator separates them from reals."""

    @cached_property
    def cls(self) -> Branch:
        """The classifier. It may have an input channel that says whether an image is real."""
        return Branch("cls", self.ways, self.sizes, self.variant.shared_layers, int(self.variant.told_real))

    @cached_property
    def dsc(self) -> Branch:
        """The discriminator. With a gradient penalty it has no batch statistics, so each image has its own penalty."""
        planes = self.ways if self.variant.condition_discriminator else 0
        return Branch("dsc", 1, self.sizes, self.variant.shared_layers, planes, self.gan_loss.penalises_gradient)

    def initial_weights(self, seeds: Tensor, dtype: torch.dtype) -> Weights:
        return classifier.initial_weights(seeds, self.dsc, dtype) | super().initial_weights(seeds, dtype)

    def classify(self, weights: Weights, images: Tensor, reals: int | None = None) -> Tensor:
        planes = None
        if self.cls.planes:
            planes = torch.ones(*images.shape[:2], 1, dtype=images.dtype, device=images.device)
            if reals is not None:
                planes[:, reals:] = 0
        return classifier.logits(weights, self.cls, images, planes, self.normalising(reals))

    def criticise(self, weights: Weights, images: Tensor, labels: Tensor, reals: int | None = None) -> Tensor:
        planes = None
        if self.dsc.planes:
            planes = torch.nn.functional.one_hot(labels, self.ways).to(images.dtype).expand(len(images), -1, -1)
        return classifier.logits(weights, self.dsc, images, planes, self.normalising(reals))[..., 0]

    def is_critics_own(self, name: str) -> bool:
        # Scale and shift of normalisation are not clipped.
        return name.startswith(("dsc.conv", "dsc.head"))

    def label_fakes(self, logits: Tensor, episodes: Episodes) -> Tensor:
        return self.fake_labels(episodes)

    def adversarial_losses(self, weights: Weights, episodes: Episodes, made: Tensor, step: int) -> list[Descent]:
        """L_cls for groups shared and cls, lambda L_dsc for shared, L_dsc for dsc, the GAN loss for phi."""
        rate, theta = self.inner.learning_rate, self._classification(weights, episodes, made)
        on_reals, on_fakes = self.criticise_both(
            weights, (episodes.support, episodes.support_labels), (made, self.fake_labels(episodes))
        )
        discrimination = self.gan_loss.critic(on_reals, on_fakes) + self.penalty(weights, episodes, made, step)
        shared = self.variant.discrimination_weight * rate
        return [
            Descent(theta, {"shared": rate, "cls": rate}),
            Descent(discrimination, {"shared": shared, "dsc": rate}),
            *self.generator_descent(on_fakes),
        ]

    def _classification(self, weights: Weights, episodes: Episodes, made: Tensor) -> Tensor:
        """L_cls, also on fakes if the classifier trains on them (section 4.1)."""
        if not self.variant.classify_fakes:
            return losses.cross_entropy(self.classify(weights, episodes.support), episodes.support_labels)
        on_real, on_fake = self.classify_both(weights, episodes.support, made)
        return losses.real_and_fake(
            losses.cross_entropy(on_real, episodes.support_labels),
            losses.cross_entropy(on_fake, self.fake_labels(episodes)),
            self.variant.real_weight,
        )


SYSTEM = MultiTask
