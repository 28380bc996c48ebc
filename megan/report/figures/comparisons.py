"""Figures that compare the validation accuracy of a few variants, one row for each figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from megan.config.params import Style
from megan.report.figures.entry import Comparison

if TYPE_CHECKING:
    from megan.report.picture import Picture


@dataclass(frozen=True, kw_only=True)
class Curves(Comparison):
    """One pair of axes: validation accuracy against meta-steps, one curve for each variant."""

    def build(self, folders: Sequence[Path], styles: dict[str, Style]) -> Picture:
        from megan.report import curves

        (tables,) = folders
        return curves.compared(tables, styles, self)


N_PLUS_1 = (
    Curves(
        "weighting",
        figure=5,
        variants=("maml", "n_plus_1_equal", "n_plus_1_weighted", "n_plus_1"),
        subject="Weight and schedule of the fakes",
        paper="The paper says of its Fig. 5: with equal weight, the fakes inhibited the training of N+1."
        " A weight of 3:1 for real images helped. Adding fakes only after 3 of the 5 inner steps helped more."
        " The differences were large.",
    ),
    Curves(
        "outer_losses",
        figure=6,
        variants=("maml", "n_plus_1", "n_plus_1_real_fake", "n_plus_1_hybrid"),
        subject="Outer losses",
        paper="The paper says of its Fig. 6: the outer loss on real images alone (grey) was the best of"
        " the three and ended slightly above MAML (red). Orange is real+fake, blue is hybrid.",
    ),
)

MULTI_TASK = (
    Curves(
        "baseline",
        figure=10,
        variants=("maml_long", "maml_norm_first", "maml_second_order"),
        subject="The baseline by the authors' code",
        paper="The paper's Fig. 10 shows MAML from 42 % before training to 90.7 % after 1,500 updates. The authors'"
        " code has ReLU before batch norm and, by default, first-order gradients through the inner loop; the paper's"
        " text says second order.",
    ),
    Curves(
        "gan_losses",
        figure=10,
        variants=(
            "maml_short",
            "maml_long",
            "multi_task_vanilla",
            "multi_task_0",
            "multi_task_wasserstein",
            "multi_task_gradient_penalty",
        ),
        subject="GAN losses without shared weights",
        paper="The paper says of its Fig. 10: without shared weights, even the best generator over all GAN"
        " losses harmed the classifier, which stayed below MAML. Our figure shows each loss. The variant multi_task_0,"
        " labelled by its 0 shared layers, has the non-saturating loss.",
    ),
    Curves(
        "conditioning_accuracy",
        figure=8,
        variants=("multi_task_0", "multi_task_slow", "multi_task_label"),
        subject="Conditioning of the generator, and its inner step",
        paper="The paper's Fig. 8, right, shows the accuracy of the classifiers that were trained with the fakes of"
        " Fig. 8, left. The paper says that generators of less noisy fakes helped the classifier more.",
    ),
)
