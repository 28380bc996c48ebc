"""What all blocks of `params.yaml` have in common: frozen models, and the types of numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1, le=10**9)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Rate = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=10**6, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Block(BaseModel):
    """A frozen block. Unknown keys are refused, and types are not converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
