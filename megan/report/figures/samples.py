"""Figures that show the fakes of a few variants on the same tasks, one row for each figure."""

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
class Grids(Comparison):
    """Real images, and below them the fakes of each variant. `accuracies`: also give meta-test accuracies.

    `snapshot`: the meta-step that the fakes are of, where training kept its weights; else they are of the final ones.
    """

    reads: tuple[str, ...] = ("tables", "samples")
    accuracies: bool = False
    snapshot: int | None = None

    def build(self, folders: Sequence[Path], styles: dict[str, Style]) -> Picture:
        from megan.report import grids

        tables, samples = folders
        return grids.compared(tables, samples, styles, self, self.accuracies, self.snapshot)


FAKES = (
    Grids(
        "conditioning_samples",
        variants=("multi_task_0", "multi_task_slow", "multi_task_label"),
        subject="What the generator is conditioned on, and its inner step",
        paper="The paper's Fig. 8, left, shows real characters, then fakes after 1000 meta-steps: conditioned on the"
        " image (generator's inner step 0.4, then 0.001), then on the label (0.4). The paper says that fakes"
        " conditioned on the image were far more real and stable than those conditioned on the label, and that they"
        " were realistic with a step of 0.4 but not with 0.001.",
        snapshot=1000,
    ),
    Grids(
        "generators",
        variants=("n_plus_1_fcn_skip", "n_plus_1_short"),
        subject="Generators of N+1, with and without skip",
        paper="The paper says of its Fig. 9: with skip, the fakes can be recognised, because they are residuals"
        " on the support image. Without skip, it is hard to recognise them. Yet the standard generator, with which N+1"
        " beat MAML, has no skip.",
        accuracies=True,
    ),
)
