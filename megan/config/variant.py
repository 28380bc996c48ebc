"""The schema of a variant in `params.yaml`: one system of the paper with all its options."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from megan.config.block import Block, Count, Rate, Weight
from megan.config.names import module_of

LABEL_KEY = re.compile(r"\{([\w.]+)\}")
UNSHAPING = ("tier", "label", "colour")  # keys of a variant that do not affect its training or test


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
