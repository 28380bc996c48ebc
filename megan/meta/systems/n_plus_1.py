"""N+1 (sections 3.3, 4.2): one network with N class outputs and one output "fake". It is also the critic."""

from dataclasses import dataclass

from torch import Tensor

from megan.data.episodes import Episodes
from megan.meta import losses
from megan.meta.system import Descent
from megan.meta.with_fakes import WithFakes
from megan.models.initial import Weights


@dataclass(frozen=True)
class NPlus1(WithFakes):
    """The target of a real is its class, that of a fake is the last output."""

    has_fake_output = True

    def criticise(self, weights: Weights, images: Tensor, labels: Tensor, reals: int | None = None) -> Tensor:
        return losses.critic_value(self.classify(weights, images, reals))

    def is_critics_own(self, name: str) -> bool:
        return name == "cls.head"  # the layers below the head also classify

    def label_fakes(self, logits: Tensor, episodes: Episodes) -> Tensor:
        return losses.fake_output(logits)

    def adversarial_losses(self, weights: Weights, episodes: Episodes, made: Tensor, step: int) -> list[Descent]:
        """(w * mean_real + mean_fake) / (w + 1) for theta, the GAN loss for phi."""
        on_real, on_fake = self.classify_both(weights, episodes.support, made)
        theta = losses.real_and_fake(
            losses.cross_entropy(on_real, episodes.support_labels),
            losses.cross_entropy(on_fake, losses.fake_output(on_fake)),
            self.variant.real_weight,
        )
        theta = theta + self.penalty(weights, episodes, made, step)
        return [
            Descent(theta, {"cls": self.inner.learning_rate}),
            *self.generator_descent(losses.critic_value(on_fake)),
        ]


SYSTEM = NPlus1
