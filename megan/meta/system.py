"""The interface between a system and the engine: initial weights, losses on one task, predictions.

The base class implements what all systems have in common. MAML, which has no fakes, adds nothing.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from megan.config.params import Inner, Variant
from megan.data.episodes import Episodes
from megan.meta import losses
from megan.models import classifier
from megan.models.classifier import Branch
from megan.models.initial import Weights
from megan.models.sizes import Sizes

THETA = ("shared", "cls", "dsc")  # groups of weights: theta of Algorithm 1
PHI = ("gen",)


@dataclass(frozen=True)
class Descent:
    """A loss, and the step size of each group of weights that descends on it."""

    loss: Tensor  # [tasks]
    rates: dict[str, float]  # group -> step size; in the outer loop a weight of the loss, as Adam has its own step size


@dataclass(frozen=True)
class System:
    """A variant as a learner of `ways` classes."""

    variant: Variant
    inner: Inner
    ways: int
    sizes: Sizes
    prototype_size: int = 0  # of the encoder, if the generator is conditioned on prototypes

    has_fake_output = False  # whether the classifier has an output "fake" in addition to its N classes

    @cached_property
    def cls(self) -> Branch:
        """The classifier."""
        return Branch("cls", self.ways + self.has_fake_output, self.sizes)

    @property
    def makes_fakes(self) -> bool:
        """Whether any loss uses fakes. Figures show samples of such a variant."""
        return False

    @property
    def others(self) -> int:
        """Images of other classes that a task needs for each support image."""
        return 0

    def initial_weights(self, seeds: Tensor, dtype: torch.dtype) -> Weights:
        """theta and phi before meta-training, each [seeds, ...]."""
        return classifier.initial_weights(seeds, self.cls, dtype)

    def classify(self, weights: Weights, images: Tensor, reals: int | None = None) -> Tensor:
        """Class logits [tasks, images, outputs] of one batch; its first `reals` images (all, if None) are real."""
        return classifier.logits(weights, self.cls, images, first=self.normalising(reals))

    def normalising(self, reals: int | None) -> int | None:
        """How many first images of a batch with `reals` reals give the statistics of batch normalisation; None: all."""
        return None

    def inner_losses(self, weights: Weights, episodes: Episodes, step: int) -> list[Descent]:
        """The losses that the groups descend on in inner step `step` (from 0)."""
        return [self.classification(weights, episodes)]

    def classification(self, weights: Weights, episodes: Episodes) -> Descent:
        """MAML's inner loss: cross-entropy on the support (section 1.2)."""
        logits, rate = self.classify(weights, episodes.support), self.inner.learning_rate
        return Descent(losses.cross_entropy(logits, episodes.support_labels), {"shared": rate, "cls": rate})

    def answer(self, weights: Weights, episodes: Episodes, step: int) -> Tensor:
        """Class logits of the query [tasks, images, outputs] for adapted weights, as the outer loop computes them.

        `step` keys the noise of the fakes, if there are any in the batch of the query.
        """
        return self.classify(weights, episodes.query)

    def outer_losses(self, weights: Weights, episodes: Episodes) -> tuple[Tensor, list[Descent]]:
        """The query's class logits for adapted weights, and the outer losses: cross-entropy on real queries."""
        logits = self.answer(weights, episodes, self.inner.steps)
        return logits, [Descent(self.query_loss(logits, episodes), dict.fromkeys(THETA + PHI, 1.0))]

    def project(self, weights: Weights) -> Weights:
        """The weights, clipped to the bounds of the system, if any."""
        return weights

    def query_loss(self, logits: Tensor, episodes: Episodes) -> Tensor:
        """Cross-entropy on real queries: [tasks]. It is the first term of the outer loss, and curves show it."""
        return losses.cross_entropy(logits, episodes.query_labels)

    def fake_probabilities(self, weights: Weights, episodes: Episodes, step: int) -> Tensor:
        """Mean probability of "fake" for real query images, and for new fakes: float64 [2, tasks].

        It is that of N+1's fake output, or 1 - D of the discriminator. NaN without fakes, and if critic values are no
        log-odds (multi-task under a Wasserstein loss). `step` keys the noise of the fakes.
        """
        return torch.full((2, len(episodes.query)), torch.nan, dtype=torch.float64, device=episodes.query.device)

    def scores(self, logits: Tensor, episodes: Episodes) -> tuple[Tensor, Tensor]:
        """Accuracy of the largest of N class outputs; share of queries whose fake output is larger; both [tasks]."""
        correct = logits[..., : self.ways].argmax(dim=-1) == episodes.query_labels
        fake_wins = logits.argmax(dim=-1) >= self.ways
        return correct.double().mean(dim=1), fake_wins.double().mean(dim=1)
