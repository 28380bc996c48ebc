"""A job: one stage on one item. It is the argument of `megan.stages.*.run`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megan.config import paths
from megan.config.params import Params, Study


@dataclass(frozen=True)
class Job:
    """A stage of the current study, on one variant if the stage has items.

    `identity` holds everything that affects the result: the parameters of the stage, and digests of
    its inputs and code. A result is up to date if its record has the same identity.
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
        """The current study's parameters, with those that the variant changes."""
        return self.params.settings(self.item) if self.item in self.params.variants else self.params.current

    @property
    def address(self) -> str:
        """The stage's name in DVC, as `train@maml`."""
        return f"{self.stage}@{self.item}" if self.item else self.stage

    @property
    def provenance(self) -> Path:
        return paths.provenance(self.study, self.address.replace("@", "-"))
