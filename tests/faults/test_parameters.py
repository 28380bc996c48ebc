"""Unforeseen parameters, arguments and settings: they are valid and run, or one line names what is wrong.

tests/test_params.py says which key is refused for which reason; here many more are tried, and
some of those that are valid are run to the end of the tiny pipeline.
"""

import copy
import io
import json
import os
import random
import re
import shutil
import typing
import zlib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from megan import __main__ as command_line
from megan.config import block, machine, params, schema
from megan.config.params import ParamsError
from megan.config.variant import UNSHAPING, Style, Variant
from megan.data import catalogue
from megan.stages import registry
from tests.faults.conftest import DOCUMENT, VARIANTS, made, tiny_document, write_params

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
BLOCKS = params.KEYS


def examples(count: int):
    return hypothesis_settings(
        max_examples=count, deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip


def places(document: Any, path: tuple = ()) -> list[tuple]:
    """The path of every key and every item of a list."""
    found = [path] if path else []
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return found + [place for key, value in items for place in places(value, (*path, key))]


ODD = [
    None, True, False, 0, 1, -1, 2, 19, 20, 100, 2**31, 10**9, 10**9 + 1, 10**400, 0.0, -0.5, 1e-300, 1e300,
    float("nan"), float("inf"), float("-inf"),
    "", " ", "5", "1e-3", "0x10", "nan", "yes", "glyphs", "omniglot", "standard", "alphabet", "any",
    "none", "prototype", "maml", "n_plus_1", "multi_task",
    "é", "日本", "\u202e", "\x1b[31m", "a\nb", "..", "/etc/passwd", "$HOME", "{{x}}", "${study}", "a" * 10_000,
    b"\xff", [], {}, [[]], [None], {"a": 1},
]  # fmt: skip
VALUES = st.sampled_from(ODD) | st.recursive(
    st.integers() | st.floats() | st.text(max_size=6) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
MUTATIONS = ("replace", "drop", "rename", "add", "swap", "nest", "twice", "text")


def mutate(document: dict, kind: str, place: tuple, other: tuple, value: Any) -> str | dict:
    """The document, or the text of the file, with one thing changed at `place`."""
    *parents, last = place
    block: Any = document
    for key in parents:
        block = block[key]
    if kind == "replace":
        block[last] = value
    elif kind == "drop":
        del block[last]
    elif kind == "rename" and isinstance(block, dict):
        block[str(last)[::-1]] = block.pop(last)
    elif kind == "add" and isinstance(block, dict):
        block[f"{last}_{str(value)[:5]}"] = value
    elif kind == "swap":
        there: Any = document
        for key in other[:-1]:
            there = there[key]
        block[last], there[other[-1]] = copy.deepcopy(there[other[-1]]), copy.deepcopy(block[last])
    elif kind == "nest":
        block[last] = {last: block[last]}
    elif kind in ("twice", "text"):
        lines = yaml.dump(document, Dumper=DUMPER, sort_keys=False).splitlines()
        at = zlib.crc32(repr(place).encode()) % len(lines)
        lines.insert(at, lines[at] if kind == "twice" else str(value)[:50])
        return "\n".join(lines)
    return document


def read(path: Path, document: Any) -> params.Params:
    text = (
        document
        if isinstance(document, str)
        else yaml.dump(document, Dumper=DUMPER, sort_keys=False, allow_unicode=True)
    )
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    loaded = params.load(path)
    catalogue.check(loaded.study, loaded.current, loaded.variants)
    return loaded


def names_a_key(message: str, *changed: tuple) -> bool:
    """Whether the message names a changed key, a key of its block that it contradicts, or the line of the file."""
    if re.search(r"line \d+|not valid YAML|must be a mapping|(study|variant) name", message):
        return True
    return any(
        str(place[-1]) in message
        or str(place[-1])[::-1] in message
        or len(place) > 2
        and ".".join(place[:2]) in message
        for place in changed
    )


SMALL = {key: value for key, value in DOCUMENT.items() if key != "studies"} | {
    "studies": {name: DOCUMENT["studies"][name] for name in ("quick", "omniglot_standard")}
}


def test_mutated_parameters(tmp_path, faults, record_property):
    """Each file loads, or one line that names a key refuses it. A document read twice gives the same."""
    kept = {name: SMALL[block][name] for block in ("variants",) for name in (*VARIANTS, "multi_task_0")}
    document = {**SMALL, "variants": kept, "more_variants": {"multi_task_4": SMALL["more_variants"]["multi_task_4"]}}
    everywhere, seen = places(document), {"valid": 0, "refused": 0}

    @examples(faults(150, 1500))
    @given(st.sampled_from(everywhere), st.sampled_from(everywhere), st.sampled_from(MUTATIONS), VALUES)
    def check(place: tuple, other: tuple, kind: str, value: Any) -> None:
        if kind == "swap" and (place == other[: len(place)] or other == place[: len(other)]):
            kind = "drop"
        changed = mutate(copy.deepcopy(document), kind, place, other, value)
        try:
            loaded = read(tmp_path / "params.yaml", changed)
        except ParamsError as error:
            message = str(error)
            assert "\n" not in message and len(message) < 2000 and message.isprintable(), message
            assert message.startswith(("params.yaml", str(tmp_path))), message
            # One more line can change the file in any way; but a key is named.
            named = (
                names_a_key(message, place, other)
                if kind not in ("twice", "text")
                else re.search(r"line \d|valid YAML|must be|\w\.\w|key '|study", message)
            )
            assert named, f"{kind} {place}: {message}"
            seen["refused"] += 1
        else:
            assert loaded == params.load(tmp_path / "params.yaml")
            seen["valid"] += 1

    check()
    assert min(seen.values()) > 5, seen
    record_property("trials", f"{sum(seen.values())} of which valid {seen['valid']}")


def test_no_value_is_unseen():
    """Nothing in the schema has a default.

    A result carries what the file says, with the variant's defaults filled in.
    """

    def blocks(model: type[block.Block]) -> typing.Iterator[type[block.Block]]:
        yield model
        for field in model.model_fields.values():
            if isinstance(field.annotation, type) and issubclass(field.annotation, block.Block):
                yield from blocks(field.annotation)

    for model in [*blocks(schema.Study), *blocks(Variant), *blocks(Style), *blocks(params.Params)]:
        # `variants_by_study` is of the studies in folders, `waiting` of a provisional record; no keys of the file.
        lacking = {name for name, field in model.model_fields.items() if not field.is_required()}
        lacking -= {"variants_by_study", "waiting"}
        assert not lacking, model
    loaded = params.load(Path(__file__).parents[2] / "params.yaml")
    for name, content in DOCUMENT["studies"].items():
        assert json.loads(loaded.studies[name].model_dump_json()) == content
    for name, variant in loaded.variants.items():
        assert variant.model_dump() == DOCUMENT["variant_defaults"] | DOCUMENT["variants"][name]


# Valid ones, run to the end

CHOICES: dict[str, list] = {
    "tasks.ways": [2, 3], "tasks.shots": [1, 2], "tasks.train_queries": [1, 2], "tasks.test_queries": [2, 3],
    "tasks.scope": ["alphabet", "any"],
    "inner.steps": [1, 2, 3], "inner.test_steps": [1, 3], "inner.learning_rate": [0.01, 0.4, 100.0],
    "inner.first_order": [False, True],
    "network.layers": ["finn", "authors"], "network.norm": ["before_relu", "after_relu"],
    "network.downsampling": ["stride", "max_pool"], "network.head": ["mean", "flat"],
    "train.meta_batch": [1, 3], "train.learning_rate": [1e-9, 0.002, 100.0], "train.schedule": ["cosine", "constant"],
    "train.log_every": [1, 7], "train.validate_every": [1, 7], "train.validation_tasks": [1, 3],
    "train.keep": ["best", "last"], "train.snapshots": [[], [0, 1]],
    "train.checkpoint_every": [1, 7], "train.precision": ["float32", "tf32", "float64"],
    "tiers.headline.meta_steps": [1, 2, 3], "tiers.headline.seeds": [[0], [2**31 - 1, 7]],
    "tiers.headline.test_tasks": [2, 5],
    "test.sample_tasks": [2, 9], "test.sample_queries": [1, 2], "test.draws": [2], "test.other_queries": [[], [1]],
}  # fmt: skip
OPTIONS: dict[str, list] = {
    "approach": ["maml", "n_plus_1", "multi_task"], "generator": ["standard", "fcn", "authors"],
    "first_output": ["grey", "ink"],
    "fake_source": ["generator", "frozen_generator", "augmentation", "alphabet", "noise"],
    "conditioning": ["none", "label", "image"], "skip": [False, True], "noise_size": [1, 16],
    "fakes_per_real": [1, 2], "fake_steps": [0, 1, 9],
    "real_weight": [0, 1, 3.0], "batch_statistics": ["together", "apart", "reals"],
    "gan_loss": ["vanilla", "non_saturating", "wasserstein", "wasserstein_gp"],
    "generator_inner_lr": [0.001, 0.4], "clip": [0.01, 1.0], "gradient_penalty": [0.0, 10.0],
    "penalty_norm": ["image", "batch"],
    "shared_layers": [0, 2, 4], "told_real": ["first_layer", "head", "never"],
    "classify_fakes": [True, False], "discrimination_weight": [0.0, 1.0], "condition_discriminator": [False, True],
    "discriminator_inner_lr": [None, 0.1], "generator_class_weight": [0.0, 1.0],
    "outer_fake_weight": [0.0, 1.0],
    "outer_discrimination_weight": [0.0, 1.0], "generator_outer_loss": ["classification", "fooling"],
    "fooling_through": ["generator", "both"], "outer_fake_batch": ["own", "with_query"],
    "settings": [{}, {"inner": {"learning_rate": 0.1}}],
}  # fmt: skip
assert set(OPTIONS) | set(UNSHAPING) == set(Variant.model_fields)


def random_document(draws: random.Random) -> dict[str, Any]:
    document = tiny_document()
    study = document["studies"]["quick"]
    for key in draws.sample(sorted(CHOICES), 6):
        *parents, last = key.split(".")
        block = study
        for parent in parents:
            block = block[parent]
        block[last] = draws.choice(CHOICES[key])
    variant = (
        document["variants"]["n_plus_1"]
        | {"approach": draws.choice(OPTIONS["approach"])}
        | {key: draws.choice(OPTIONS[key]) for key in draws.sample(sorted(OPTIONS), 6)}
    )
    document["variants"]["n_plus_1"] = variant
    return document


def test_valid_parameters_run_to_the_end(server, tiny, copies, faults, record_property):
    draws, ran, refused = random.Random(0), 0, 0
    while ran < faults(2, 24):
        document = random_document(draws)
        folder = copies(tiny)
        write_params(folder, document)
        try:
            params.load(folder / "params.yaml")
        except ParamsError:
            refused += 1
            continue
        for stage in (
            "download",
            "encoder",
            "judge",
            *(f"{part} {variant}" for variant in VARIANTS for part in ("train", "test")),
            "summary",
        ):
            ended = server.run(folder, *stage.split())
            assert ended.code == 0, (
                f"{stage}: {document['variants']['n_plus_1']} {document['studies']['quick']}: {ended.output}"
            )
        assert "results/quick/metrics.json" in made(folder)
        ran += 1
    record_property("trials", f"{ran} run, {refused} refused")


# Arguments and settings


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """Parameters, and nothing made."""
    write_params(tmp_path, tiny_document())
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MEGAN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEGAN_DEVICE", "cpu")
    return tmp_path


def main(arguments: list[str]) -> tuple[int, str]:
    told = io.StringIO()
    with redirect_stderr(told), redirect_stdout(told):
        try:
            code = command_line.main(arguments)
        except SystemExit as stopped:
            code = stopped.code
    return code, told.getvalue()


def test_any_arguments(project, faults, record_property):
    """Usage (2), one line (1), or it ran (0, only `config`, `status` and `download`, whose glyphs need nothing)."""
    words = st.sampled_from(
        [
            *(command.name for command in registry.commands()),
            *VARIANTS,
            "accuracy",
            "--help",
            "-x",
            "--",
            "",
            "..",
            "../../etc",
            "a\nb",
            "\udc80",
            "a" * 5000,
        ]
    ) | st.text(max_size=8)
    trials = []

    @examples(faults(100, 1000))
    @given(st.lists(words, max_size=4))
    def check(arguments: list[str]) -> None:
        shutil.rmtree(project / "data", ignore_errors=True)  # else stage `prepare` would take its seconds
        code, told = main(arguments)
        trials.append(code)
        assert "Traceback" not in told
        if code == 1:
            assert len(told.splitlines()) == 1 and told.startswith(
                f"megan {arguments[0] if arguments[0] != '--' else arguments[1]}: "
            ), told
        elif code == 2:
            assert told.startswith("usage: python -m megan")
        else:
            assert code == 0 and ("usage" in told or {"config", "download", "status"} & set(arguments))

    check()
    assert {1, 2} <= set(trials)
    assert {path.name for path in project.iterdir()} <= {"params.yaml", "data", ".resume", "results"}
    assert not [path for path in project.glob("results/**/*.*") if "config" not in path.parts]
    record_property("trials", len(trials))


READERS = {
    "MEGAN_DEVICE": machine.device,
    "MEGAN_THREADS": machine.threads,
    "MEGAN_CHUNK": lambda: machine.chunk(8),
    "MEGAN_KERNEL": machine.kernel,
    "MEGAN_CACHE": machine.cache,
    "MEGAN_MIRROR": machine.mirror,
}


def test_any_settings(project, monkeypatch, faults, record_property):
    """Every reader gives a value of its type, or one line that names the variable and what it holds."""
    texts = (
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
        | st.integers(-(10**7), 10**7).map(str)
        | st.sampled_from(
            [
                "",
                "auto",
                "cpu",
                "cuda",
                "cuda:0",
                "cuda:" + "9" * 4400,
                "9" * 4400,
                "0",
                "1",
                "²",
                "1_0",
                "0x1",
                "1e3",
                " 1",
                "native",
                "torch",
                "a" * 10_000,
                "~",
                "/dev/null",
                "http://[",
                "http://a b",
            ]
        )
    )
    trials = []

    @examples(faults(100, 1000))
    @given(st.sampled_from(sorted(READERS)), texts)
    def check(name: str, text: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, text)
            trials.append(name)
            try:
                value = READERS[name]()
            except machine.SettingsError as error:
                assert (
                    str(error).startswith(f"{name} = ")
                    and "\n" not in str(error)
                    and ("expected" in str(error) or "CUDA devices" in str(error))
                )
                assert len(str(error)) < 300, "the value is not repeated whole"
            else:
                assert value or name == "MEGAN_MIRROR"

    check()
    record_property("trials", len(trials))


def test_no_home_folder(project, monkeypatch):
    """As for a numeric user in a container: one line, with the way out."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(machine.SettingsError, match="MEGAN_CACHE is unset"):
        machine.cache()
    monkeypatch.setenv("MEGAN_CACHE", "here")
    assert machine.cache() == Path("here")
