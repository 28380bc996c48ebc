"""The schema of a study in `params.yaml`: keys, types and ranges of each block.

There are no default values here, so that the file shows every number.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from megan.config.block import Block, Count, Positive, Rate, Seed
from megan.config.names import module_of


class Data(Block):
    """The data set and its split (section 2.1)."""

    dataset: Annotated[str, module_of("data/sets")]
    folder: str  # of a data set that reads a folder of yours, else empty
    side: Annotated[int, Field(ge=8, le=512, multiple_of=4)]  # the generators halve an image twice
    channels: Literal[1, 3]
    protocol: Literal["alphabet", "standard", "file_order", "parts"]
    split_seed: Seed
    validation_alphabets: Count
    train_characters: Count
    validation_characters: Count
    train_on_validation: bool
    rotations: bool

    @property
    def validates(self) -> bool:
        """Whether the split has classes for validation. Only protocol `file_order` can do without."""
        return self.protocol != "file_order" or self.validation_characters > 0


class Tasks(Block):
    """The few-shot task: N ways, K shots, Q queries per class (section 2.2)."""

    ways: Annotated[int, Field(ge=2, le=100)]
    shots: Positive
    train_queries: Positive
    test_queries: Positive
    scope: Literal["alphabet", "any"]


class Inner(Block):
    """The inner loop: S steps of size alpha (section 1.2)."""

    steps: Annotated[int, Field(ge=1, le=100)]
    test_steps: Annotated[int, Field(ge=1, le=100)]
    learning_rate: Rate
    first_order: bool


class Network(Block):
    """The classifier and the critics: four layers (Finn et al. 2017, or as in the authors' code)."""

    layers: Literal["finn", "authors"]
    norm: Literal["before_relu", "after_relu"]
    filters: Annotated[int, Field(ge=1, le=1024)]
    downsampling: Literal["stride", "max_pool"]
    head: Literal["mean", "flat"]


class Encoder(Block):
    """Pre-training of the ResNet-18 prototype encoder (section 3.1)."""

    steps: Positive
    batch_size: Annotated[int, Field(ge=2, le=10**6)]
    learning_rate: Rate
    seed: Seed
    stem_stride: Annotated[int, Field(ge=1, le=2)]
    validation_drawers: Positive


class PrototypeEncoder(Encoder):
    """The encoder whose prototypes condition generators: trained here, or on ImageNet elsewhere."""

    weights: Literal["trained", "imagenet"]


class Gan(Block):
    """The plain GAN on few images of one class, or of all (section 5.1.1, Fig. 7)."""

    dataset: Annotated[str, module_of("data/sets")]
    images_of: Literal["class", "all"]
    images: Annotated[tuple[Annotated[int, Field(ge=1, le=1000)], ...], Field(min_length=1, strict=False)]
    classes: Annotated[int, Field(ge=1, le=10)]
    updates: Positive
    batch_size: Annotated[int, Field(ge=2, le=4096)]
    learning_rate: Rate
    noise_size: Annotated[int, Field(ge=1, le=1024)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, strict=False)]

    @property
    def groups(self) -> int:
        """GANs of each K and seed: one for each class, or one for all."""
        return self.classes if self.images_of == "class" else 1


class Train(Block):
    """The outer loop: Adam with step size beta."""

    meta_batch: Positive
    learning_rate: Rate
    schedule: Literal["cosine", "constant"]
    keep: Literal["best", "last"]
    log_every: Positive
    validate_every: Positive
    validation_tasks: Positive
    checkpoint_every: Positive
    snapshots: Annotated[tuple[Count, ...], Field(strict=False)]
    precision: Literal["float32", "tf32", "float64"]


class Tier(Block):
    """Training length and seeds of a variant, and the number of test tasks for each seed."""

    meta_steps: Positive
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, strict=False)]
    test_tasks: Annotated[int, Field(ge=2, le=10**7)]


class Tiers(Block):
    """The tiers of variants. A study may add tiers of its own."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    __pydantic_extra__: dict[str, Tier] = Field(init=False)
    headline: Tier
    ablation: Tier
    survey: Tier

    @property
    def named(self) -> dict[str, Tier]:
        """All tiers by name."""
        return {name: getattr(self, name) for name in (*type(self).model_fields, *(self.model_extra or ()))}


class Test(Block):
    """Fakes that meta-test measures, and further numbers of queries per class to test with."""

    sample_tasks: Annotated[int, Field(ge=2, le=10**5)]
    sample_queries: Annotated[int, Field(ge=1, le=10**4)]
    draws: Annotated[int, Field(ge=2, le=100)]
    other_queries: Annotated[tuple[Positive, ...], Field(strict=False)]


class Study(Block):
    data: Data
    tasks: Tasks
    inner: Inner
    network: Network
    encoder: PrototypeEncoder
    judge: Encoder
    gan: Gan
    train: Train
    tiers: Tiers
    test: Test
