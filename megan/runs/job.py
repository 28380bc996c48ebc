"""One stage at work on one item: what `megan.stages.*.run` is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megan.config import paths
from megan.config.params import Params, Study


@dataclass(frozen=True)
class Job:
    """A stage of the current study, on one variant or figure where the stage has items.

    `identity` holds all that shapes the result: the stage's parameters, and digests of its
    inputs and of its code. A result is up to date when its record has the same identity.
    """

    params: Params
    stage: str
    item: str
    folder: Path  # the stage's first output
    identity: dict[str, Any]

    @property
    def study(self) -> str:
        return self.params.study

    @property
    def settings(self) -> Study:
        """The current study's parameters."""
        return self.params.current

    @property
    def address(self) -> str:
        """The stage's name in DVC, as `train@maml`."""
        return f"{self.stage}@{self.item}" if self.item else self.stage

    @property
    def provenance(self) -> Path:
        return paths.provenance(self.study, self.address.replace("@", "-"))
