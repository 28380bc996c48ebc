"""The schema of `params.yaml`: keys, types and ranges of each block.

There are no default values here, so that the file shows every number.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from megan.config.names import module_of

Positive = Annotated[int, Field(ge=1, le=10**9)]
Count = Annotated[int, Field(ge=0, le=10**9)]
Rate = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=10**6, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]

# Claims of the paper, and questions of our own (megan/report/claims/rules.py).
CLAIMS = tuple([str(number) for number in range(1, 18)] + [f"Q{number}" for number in range(1, 8)])
PLAIN_GAN = "12"  # the claim about the plain GAN, whose length is in updates
LABEL_KEY = re.compile(r"\{([\w.]+)\}")
UNSHAPING = ("tier", "label", "colour")  # keys of a variant that do not affect its training or test


class Block(BaseModel):
    """A frozen block. Unknown keys are refused, and types are not converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


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


def _printable(text: str) -> str:
    if not text.isprintable() or text.isspace():
        raise ValueError("expected printable characters, not spaces alone")
    return text


Label = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_printable)]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class Style(Block):
    """Label and colour of a variant in figures and tables."""

    label: Label
    colour: Colour


class Variant(Block):
    """One system of the paper with all its options. Comments in `params.yaml` explain the options."""

    tier: str
    approach: Annotated[str, module_of("meta/systems")]
    fake_source: Literal["generator", "frozen_generator", "augmentation", "alphabet", "noise"]
    generator: Literal["standard", "fcn", "authors"]
    first_output: Literal["grey", "ink"]
    conditioning: Literal["none", "label", "image", "prototype"]
    skip: bool
    noise_size: Annotated[int, Field(ge=1, le=1024)]
    fakes_per_real: Annotated[int, Field(ge=1, le=20)]
    fake_steps: Count
    real_weight: Weight
    batch_statistics: Literal["together", "apart", "reals"]
    gan_loss: Annotated[str, module_of("meta/gan_losses")]
    generator_inner_lr: Rate
    clip: Rate
    gradient_penalty: Weight
    penalty_norm: Literal["image", "batch"]
    shared_layers: Annotated[int, Field(ge=0, le=4)]
    told_real: Literal["first_layer", "head", "never"]
    classify_fakes: bool
    discrimination_weight: Weight
    condition_discriminator: bool
    discriminator_inner_lr: Rate | None  # None: `inner.learning_rate`
    generator_class_weight: Weight
    outer_fake_weight: Weight
    outer_discrimination_weight: Weight
    outer_fake_batch: Literal["own", "with_query"]
    generator_outer_loss: Literal["classification", "fooling"]
    fooling_through: Literal["generator", "both"]
    settings: dict[Literal["inner", "network", "train"], dict[str, Any]]  # differences from those of the study
    label: Label  # its name in figures and tables; {KEY} is replaced by the value of an option or of `settings`
    colour: Colour

    @property
    def options(self) -> dict[str, Any]:
        """All options that affect its numbers; not label, colour and tier."""
        return self.model_dump(mode="json", exclude=set(UNSHAPING))

    @property
    def style(self) -> Style:
        """Its label and colour. In the label, `{KEY}` is replaced by the value of that option.

        `{inner.learning_rate}` is replaced by the value in the variant's `settings`.
        """
        values = self._label_values

        def value(match: re.Match[str]) -> str:
            found = values[match[1]]
            return f"{found:g}" if isinstance(found, float) else str(found)

        return Style.model_construct(label=LABEL_KEY.sub(value, self.label), colour=self.colour)

    @property
    def _label_values(self) -> dict[str, Any]:
        own = {f"{block}.{key}": value for block, keys in self.settings.items() for key, value in keys.items()}
        return self.options | own

    @model_validator(mode="after")
    def _label_names_options(self) -> Self:
        for key in LABEL_KEY.findall(self.label):
            if key not in self._label_values:
                raise ValueError(f"label names {{{key}}}, which is no option of a variant")
        return self

    @property
    def takes_others(self) -> bool:
        """Whether images of other classes (of the alphabet) replace the fakes."""
        return self.approach != "maml" and self.fake_source == "alphabet"

    @property
    def uses_outer_fakes(self) -> bool:
        """Whether the outer loss has a term on fakes."""
        return self.approach != "maml" and bool(
            self.outer_fake_weight or self.outer_discrimination_weight or self.generator_outer_loss == "fooling"
        )

    @property
    def needs_encoder(self) -> bool:
        """Whether the generator is conditioned on prototypes of the pre-trained encoder."""
        return self.approach != "maml" and self.conditioning == "prototype" and self.fake_source.endswith("generator")
