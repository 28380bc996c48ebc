"""The schema of `claims` in `params.yaml`: the constants of the claims' rules."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from megan.config.block import Block, Positive, Rate

# Claims of the paper, and questions of our own (megan/report/claims/rules.py).
CLAIMS = tuple([str(number) for number in range(1, 18)] + [f"Q{number}" for number in range(1, 8)])
PLAIN_GAN = "12"  # the claim about the plain GAN, whose length is in updates


class Least(Block):
    """What a claim needs: seeds that are planned, and training tasks (of the plain GAN updates)."""

    seeds: Annotated[int, Field(ge=3, le=1000)]
    length: Positive


def _claim(name: str) -> str:
    if name not in CLAIMS:
        raise PydanticCustomError("unknown_claim", "{expected}", {"expected": f"a claim: {', '.join(CLAIMS)}"})
    return name


Share = Annotated[float, Field(gt=0, lt=1)]


class Claims(Block):
    """Constants of the claims' rules, fixed before any run that they decide; docs/claims.md explains them."""

    version: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    study: str
    level: Annotated[float, Field(gt=0, le=0.2)]
    power: Annotated[float, Field(ge=0.5, lt=1)]
    finished: Share
    learnt: Share
    accuracy_margin: Share
    slight: Share
    gains: Annotated[tuple[Share, ...], Field(min_length=1, strict=False)]
    speed_margin: Share
    realism_margin: Share
    kid_floor: Share
    gan_learnt: Rate
    distance_margin: Share
    spread_margin: Share
    rank_margin: Share
    correlation_margin: Share
    fewest_snapshots: Annotated[int, Field(ge=5, le=1000)]
    replication: Least
    least: dict[Annotated[str, AfterValidator(_claim)], Least]

    @model_validator(mode="after")
    def _least_of_every_claim(self) -> Self:
        for claim in CLAIMS:
            if claim not in self.least:
                raise PydanticCustomError("no_least", "{expected}", {"expected": f"least to have the claim {claim!r}"})
        return self

    @property
    def shortest(self) -> int:
        """Training tasks that no claim about meta-training goes below. A shorter run is marked as short."""
        return min(least.length for claim, least in self.least.items() if claim != PLAIN_GAN)
