"""Refuses combinations of parameters that cannot run, with the key to change and the reason."""

from pathlib import Path

from megan.config import paths
from megan.config.schema import Study
from megan.config.variant import Variant
from megan.errors import MeganError

SMALLEST_POOLED = 16  # pixels that four poolings by two leave one of
SMALLEST_UNPADDED = 15  # pixels that three convolutions without padding leave one of


class ParamsError(MeganError):
    """`params.yaml` is unreadable or cannot run. The message names the key and what to do."""


def check_variant(where: str, variant: Variant, file: Path = paths.PARAMS) -> None:
    """Refuse options that contradict each other, with the reason. `where`: its key in `file`, as `variants.maml`."""

    def refuse(key: str, reason: str) -> None:
        raise ParamsError(f"{file}: {where}.{key} = {getattr(variant, key)!r}: {reason}")

    if variant.skip and variant.conditioning != "image":
        refuse(
            "skip",
            f"skip needs a conditioning image, and conditioning is {variant.conditioning!r}; set conditioning:"
            " image or skip: false",
        )
    if variant.skip and variant.first_output == "ink":
        refuse("first_output", "with skip a fake starts as its conditioning image, ink included; expected 'grey'")
    if variant.approach != "multi_task":
        for key, neutral in (
            ("shared_layers", 0),
            ("condition_discriminator", False),
            ("discriminator_inner_lr", None),
        ):
            if getattr(variant, key) != neutral:
                refuse(
                    key,
                    f"only approach 'multi_task' has a separate discriminator, and this is {variant.approach!r};"
                    f" expected {neutral!r}",
                )
    if variant.generator_class_weight:
        if variant.approach != "multi_task" or not variant.classify_fakes:
            refuse(
                "generator_class_weight",
                "only a classifier of multi-task with classify_fakes classifies fakes; expected 0",
            )
        if variant.fake_source != "generator":
            refuse("generator_class_weight", f"fake_source {variant.fake_source!r} learns nothing; expected 0")
    if (
        variant.approach == "multi_task"
        and variant.conditioning == "none"
        and variant.fake_source.endswith("generator")
    ):
        for key in ("classify_fakes", "condition_discriminator"):
            if getattr(variant, key):
                refuse(key, "fakes made without conditioning have no class; expected False")
        if variant.outer_fake_weight:
            refuse("outer_fake_weight", "fakes made without conditioning have no class; expected 0")
    if variant.outer_fake_batch == "with_query":
        if not variant.uses_outer_fakes:
            refuse("outer_fake_batch", "the outer loss has no term on fakes; expected 'own'")
        if variant.batch_statistics == "apart":
            refuse("outer_fake_batch", "batch_statistics 'apart' normalises reals and fakes apart; expected 'own'")
    if variant.generator_outer_loss == "fooling" and variant.fake_source != "generator":
        refuse(
            "generator_outer_loss",
            f"there is no generator to train with fake_source {variant.fake_source!r}; expected 'classification'",
        )


def check_study(name: str, study: Study) -> None:
    """Refuse combinations that cannot run, with the key to change."""
    data, tasks, where = study.data, study.tasks, paths.settings(name)
    if len({tasks.test_queries, *study.test.other_queries}) <= len(study.test.other_queries):
        raise ParamsError(
            f"{where}.test.other_queries = {list(study.test.other_queries)}: expected other numbers than"
            f" tasks.test_queries {tasks.test_queries}, each once"
        )
    if study.network.downsampling == "max_pool" and data.side < SMALLEST_POOLED:
        raise ParamsError(
            f"{where}.network.downsampling = 'max_pool': four poolings leave nothing of data.side {data.side};"
            f" expected 'stride', or a side of at least {SMALLEST_POOLED}"
        )
    if study.network.layers == "finn" and study.network.norm == "after_relu":
        raise ParamsError(
            f"{where}.network.norm = 'after_relu': expected 'before_relu' where network.layers is 'finn', whose batch"
            " normalisation comes before ReLU"
        )
    if study.network.layers == "authors":
        for key, only in (("downsampling", "stride"), ("head", "flat")):
            if (value := getattr(study.network, key)) != only:
                raise ParamsError(
                    f"{where}.network.{key} = {value!r}: expected {only!r} where network.layers is 'authors'"
                )
        if data.side < SMALLEST_UNPADDED:
            raise ParamsError(
                f"{where}.network.layers = 'authors': three convolutions without padding leave nothing of data.side"
                f" {data.side}; expected 'finn', or a side of at least {SMALLEST_UNPADDED}"
            )
    if len(set(study.train.snapshots)) != len(study.train.snapshots):
        raise ParamsError(f"{where}.train.snapshots = {list(study.train.snapshots)}: expected each meta-step once")
    longest = max(tier.meta_steps for tier in study.tiers.named.values())
    if max(study.train.snapshots, default=0) > longest:
        raise ParamsError(
            f"{where}.train.snapshots = {list(study.train.snapshots)}: expected at most {longest}, the meta_steps of"
            " the longest tier"
        )
    if study.judge.seed == study.encoder.seed:
        raise ParamsError(
            f"{where}.judge.seed = {study.judge.seed}: expected another seed than encoder.seed, because"
            " the judge must differ from the network that conditions generators"
        )
    if study.test.draws > tasks.test_queries:
        raise ParamsError(
            f"{where}.test.draws = {study.test.draws}: expected at most tasks.test_queries"
            f" {tasks.test_queries}, because fakes are compared with as many real drawings"
        )
    _check_protocol(where, study)
    for tier_name, tier in study.tiers.named.items():
        seeds = tier.seeds
        if len(set(seeds)) != len(seeds):
            raise ParamsError(
                f"{where}.tiers.{tier_name}.seeds = {list(seeds)}: expected seeds that differ from each other"
            )
        if study.test.sample_tasks > (count := tier.test_tasks):
            raise ParamsError(
                f"{where}.test.sample_tasks = {study.test.sample_tasks}: expected at most"
                f" tiers.{tier_name}.test_tasks {count}"
            )


POOLED = ("standard", "file_order")  # protocols that split characters, whatever their alphabet


def _check_protocol(where: str, study: Study) -> None:
    """Refuse keys of `data` that the protocol does not use, and splits that cannot be."""
    data = study.data
    if data.protocol not in POOLED:
        if data.train_characters or data.validation_characters:
            raise ParamsError(
                f"{where}.data.train_characters and validation_characters belong to protocols 'standard' and"
                " 'file_order'; set both to 0"
            )
        if data.train_on_validation:
            raise ParamsError(
                f"{where}.data.train_on_validation = true: expected false under protocol {data.protocol!r}; only"
                " 'standard' and 'file_order' can train on the validation characters too"
            )
    if data.protocol != "alphabet" and data.validation_alphabets:
        raise ParamsError(f"{where}.data.validation_alphabets belongs to protocol 'alphabet'; set it to 0")
    if data.protocol == "alphabet":
        if data.rotations:
            raise ParamsError(
                f"{where}.data.rotations = true: expected false under protocol 'alphabet' (a rotated"
                " character does not belong to its alphabet)"
            )
        if data.validation_alphabets < 1:
            raise ParamsError(f"{where}.data.validation_alphabets = 0: expected at least 1 under protocol 'alphabet'")
    elif data.protocol in POOLED:
        _check_pooled(where, study)


def _check_pooled(where: str, study: Study) -> None:
    data, tasks = study.data, study.tasks
    if not data.validation_characters < data.train_characters:
        raise ParamsError(
            f"{where}.data.validation_characters = {data.validation_characters}: expected"
            f" fewer than train_characters {data.train_characters}"
        )
    if not data.validation_characters:
        if data.protocol == "standard":
            raise ParamsError(
                f"{where}.data.validation_characters = 0: expected more than 0 under protocol 'standard'; 'file_order'"
                " can do without"
            )
        if data.train_on_validation:
            raise ParamsError(
                f"{where}.data.train_on_validation = true: there are no validation_characters to train on; expected"
                " false, or more than 0 validation_characters"
            )
        if study.train.keep == "best":
            raise ParamsError(
                f"{where}.train.keep = 'best': without validation_characters no weights are the best; expected 'last'"
            )
    if tasks.scope == "alphabet":
        raise ParamsError(
            f"{where}.tasks.scope = 'alphabet': expected 'any' under protocol {data.protocol!r}, which splits alphabets"
        )
    if 0 < data.validation_characters < tasks.ways:
        raise ParamsError(
            f"{where}.tasks.ways = {tasks.ways}: expected at most the {data.validation_characters}"
            " validation_characters"
        )
