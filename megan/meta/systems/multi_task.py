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
        """The classifier. It may have an input that says whether an image is real."""
        place = self.variant.told_real
        return Branch(
            "cls", self.ways, self.sizes, self.variant.shared_layers, int(place != "never"), at_head=place == "head"
        )

    @cached_property
    def dsc(self) -> Branch:
        """The discriminator. If each image has its own gradient penalty, it has no batch statistics."""
        planes = self.ways if self.variant.condition_discriminator else 0
        each = self.gan_loss.penalises_gradient and self.variant.penalty_norm == "image"
        return Branch("dsc", 1, self.sizes, self.variant.shared_layers, planes, layer_norm=each)

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
        """L_cls for groups shared and cls, lambda L_dsc for shared, L_dsc for dsc, the GAN loss for phi.

        With `generator_class_weight` the loss of phi also contains the classifier's cross-entropy on fakes.
        """
        rate, variant = self.inner.learning_rate, self.variant
        theta, of_fakes = self._classification(weights, episodes, made)
        on_reals, on_fakes = self.criticise_both(
            weights, (episodes.support, episodes.support_labels), (made, self.fake_labels(episodes))
        )
        discrimination = self.gan_loss.critic(on_reals, on_fakes) + self.penalty(weights, episodes, made, step)
        own = rate if variant.discriminator_inner_lr is None else variant.discriminator_inner_lr
        right = variant.generator_class_weight * of_fakes if variant.generator_class_weight else 0.0
        return [
            Descent(theta, {"shared": rate, "cls": rate}),
            Descent(discrimination, {"shared": variant.discrimination_weight * rate, "dsc": own}),
            *self.generator_descent(on_fakes, right),
        ]

    def _classification(self, weights: Weights, episodes: Episodes, made: Tensor) -> tuple[Tensor, Tensor | float]:
        """L_cls, also on fakes if the classifier trains on them (section 4.1); and the cross-entropy of fakes."""
        if not self.variant.classify_fakes:
            return losses.cross_entropy(self.classify(weights, episodes.support), episodes.support_labels), 0.0
        on_real, on_fake = self.classify_both(weights, episodes.support, made)
        of_fakes = losses.cross_entropy(on_fake, self.fake_labels(episodes))
        of_reals = losses.cross_entropy(on_real, episodes.support_labels)
        return losses.real_and_fake(of_reals, of_fakes, self.variant.real_weight), of_fakes


SYSTEM = MultiTask
