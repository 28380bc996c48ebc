"""params.yaml is refused in one readable line that names the key, or it can run."""

import copy
import difflib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from megan.config import params
from megan.config.params import ParamsError
from megan.data import catalogue

SHIPPED = Path(__file__).parents[2] / "params.yaml"
DOCUMENT = params.resolved(params.read(SHIPPED))
ABSENT = object()
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def load(path: Path, document: Any) -> params.Params:
    """What every stage does first."""
    text = document if isinstance(document, str) else yaml.dump(document, Dumper=DUMPER, sort_keys=False)
    path.write_text(text, encoding="utf-8")
    loaded = params.load(path)
    catalogue.check(loaded.study, loaded.current, loaded.variants)
    return loaded


def refusal(path: Path, document: Any) -> str:
    with pytest.raises(ParamsError) as caught:
        load(path, document)
    message = str(caught.value)
    assert "\n" not in message
    return message


def put(document: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        document = document[parent]
    if value is ABSENT:
        del document[last]
    else:
        document[last] = value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


# What is right


@pytest.mark.parametrize("study", DOCUMENT["studies"])
def test_shipped_file_is_right_for_every_study(path, study):
    loaded = load(path, DOCUMENT | {"study": study})
    assert loaded.study == study
    assert set(loaded.variants) == set(DOCUMENT["variants"])


def test_shipped_file_as_it_stands():
    loaded = params.load(SHIPPED)
    assert loaded.study == "quick", "a fresh clone runs the study that needs no network"


def test_a_variant_is_its_differences_from_the_defaults(path):
    document = copy.deepcopy(DOCUMENT)
    put(document, "variants.n_plus_1.real_weight", 1.5)
    loaded = load(path, document)
    assert loaded.variant("n_plus_1").real_weight == 1.5
    assert loaded.variant("maml").real_weight == DOCUMENT["variant_defaults"]["real_weight"]
    assert loaded.tier("maml") == getattr(loaded.current.tiers, DOCUMENT["variants"]["maml"]["tier"])


def test_a_study_is_its_differences_from_the_defaults(path):
    document = copy.deepcopy(params.read(SHIPPED))
    put(document, "study_defaults.train.checkpoint_every", 7)
    loaded = load(path, document)
    assert loaded.studies["omniglot"].train.checkpoint_every == 7
    assert loaded.studies["quick"].train.checkpoint_every == DOCUMENT["studies"]["quick"]["train"]["checkpoint_every"]


def test_a_label_tells_the_value_that_ran(path):
    """After an experiment with 5:1 no picture says 3:1."""
    document = copy.deepcopy(DOCUMENT)
    assert "3:1" in load(path, document).styles["n_plus_1_weighted"].label
    put(document, "variants.n_plus_1_weighted.real_weight", 5)
    assert "5:1" in load(path, document).styles["n_plus_1_weighted"].label


def test_a_number_may_have_an_exponent(path):
    """Read as DVC reads it: YAML 1.2."""
    text = SHIPPED.read_text(encoding="utf-8").replace("    learning_rate: 0.4\n", "    learning_rate: 4e-1\n", 1)
    assert load(path, text).current.inner.learning_rate == 0.4


def test_one_changed_value_is_one_changed_line():
    """The file is in the style in which `dvc exp run -S` writes it back."""
    text, editor, written = SHIPPED.read_text(encoding="utf-8"), YAML(), io.StringIO()
    document = editor.load(text)
    document["variants"]["n_plus_1"]["real_weight"] = 5
    editor.dump(document, written)
    changed = [line for line in difflib.ndiff(text.splitlines(), written.getvalue().splitlines()) if line[0] in "+-"]
    assert changed == ["-     real_weight: 3.0", "+     real_weight: 5"]


def test_a_whole_number_stands_for_a_rate(path):
    document = copy.deepcopy(DOCUMENT)
    put(document, "variants.n_plus_1.real_weight", 2)
    assert load(path, document).variant("n_plus_1").real_weight == 2


def test_parameters_are_frozen():
    loaded = params.load(SHIPPED)
    with pytest.raises(ValueError, match="frozen"):
        loaded.current.tasks.ways = 7


# What is wrong: the file


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a mapping"),
        ("- 1", "must be a mapping of keys, not list"),
        ("study: [", "not valid YAML"),
        ("study: quick\nstudy: quick", 'line 2: found duplicate key "study"; give it once'),
        ("? [a]\n: 1", "unknown key"),
        ("? !!set {a}\n: 1", "not valid YAML"),
        (f"study: 0x{'f' * 5000}", "study"),
        ("[" * 5000, "not valid YAML"),
        ("a: &x [*x]", "unknown key 'a'"),
        ("a: 2000-99-99", "not valid YAML"),
        ("a: !!python/object:os.system {}", "not valid YAML"),
        ('a: !!bool "x"', "not valid YAML: a value does not have the type of its tag"),
        ('a: !!int "-"', "not valid YAML"),
        ('a: !!timestamp "x"', "not valid YAML"),
        ('a: !!float ""', "not valid YAML"),
    ],
    ids=[
        "empty",
        "list",
        "open bracket",
        "twice",
        "list as a key",
        "set as a key",
        "number too long to print",
        "deep",
        "recursive",
        "date",
        "object",
        "no bool",
        "no int",
        "no time",
        "no float",
    ],
)
def test_unreadable_file(path, text, told):
    assert told in refusal(path, text)


def test_key_twice_inside_a_block(path):
    text = SHIPPED.read_text(encoding="utf-8").replace("{sample_tasks: 16}", "{sample_tasks: 8, sample_tasks: 16}", 1)
    assert text != SHIPPED.read_text(encoding="utf-8")
    assert 'found duplicate key "sample_tasks"' in refusal(path, text)


def test_missing_file(path):
    with pytest.raises(ParamsError, match="root of the repository"):
        params.load(path)


def test_file_that_is_a_folder_or_no_text(path):
    path.mkdir()
    with pytest.raises(ParamsError, match="cannot be read"):
        params.load(path)
    path.rmdir()
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParamsError, match="cannot be read"):
        params.load(path)


# What is wrong: one key. `study` is quick, so that the checks against the data set see the change.


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        # unknown, with the nearest known one
        ("studdy", "quick", ["'studdy'", "did you mean 'study'"]),
        ("studies.quick.dta", {}, ["studies.quick.dta", "did you mean 'studies.quick.data'"]),
        ("studies.quick.train.meta_bach", 3, ["did you mean 'studies.quick.train.meta_batch'"]),
        ("studies.quick.tiers.headline.step", 3, ["did you mean 'studies.quick.tiers.headline.seeds'"]),
        ("variants.maml.real_wieght", 3.0, ["did you mean 'variants.maml.real_weight'"]),
        ("variant_defaults.zzz", 3, ["unknown key 'variant_defaults.zzz'"]),
        ("variants.maml.color", "#000000", ["did you mean 'variants.maml.colour'"]),
        ("study", "omniglott", ["unknown study 'omniglott'", "did you mean 'omniglot'"]),
        ("study", ["quick"], ["unknown study"]),
        # missing
        ("study", ABSENT, ["key 'study' is missing"]),
        ("claims", ABSENT, ["key 'claims' is missing"]),
        ("study_defaults.inner", ABSENT, ["'study_defaults.inner' is missing"]),
        ("study_defaults.inner.steps", ABSENT, ["'study_defaults.inner.steps' is missing"]),
        ("studies.omniglot.inner.steps", ABSENT, None),
        ("study_defaults.train.meta_batch", 0, ["study_defaults.train.meta_batch = 0"]),
        ("variant_defaults.skip", ABSENT, ["'variant_defaults.skip' is missing"]),
        ("variants.maml.tier", ABSENT, ["'variants.maml.tier' is missing"]),
        ("variants.maml.label", ABSENT, ["'variants.maml.label' is missing"]),
        ("variants.maml", ABSENT, None),
        # a wrong type or range
        ("variants", {}, ["'variants' must be a mapping"]),
        ("variants", None, ["'variants' must be a mapping"]),
        ("variants.maml", "maml", ["variants.maml must be a mapping"]),
        ("studies.quick", 3, ["studies.quick must be a mapping"]),
        ("studies.quick.tasks", 3, ["studies.quick.tasks"]),
        ("studies.quick.tasks.ways", "five", ["studies.quick.tasks.ways = 'five'", "expected"]),
        ("studies.quick.tasks.ways", 5.0, ["studies.quick.tasks.ways = 5.0"]),
        ("studies.quick.tasks.ways", True, ["studies.quick.tasks.ways = True"]),
        ("studies.quick.tasks.ways", 1, ["studies.quick.tasks.ways = 1", "greater than or equal to 2"]),
        ("studies.quick.inner.learning_rate", "0.4", ["studies.quick.inner.learning_rate = '0.4'"]),
        ("studies.quick.inner.learning_rate", 0, ["studies.quick.inner.learning_rate = 0"]),
        ("studies.quick.inner.learning_rate", float("nan"), ["studies.quick.inner.learning_rate = nan"]),
        ("studies.quick.inner.learning_rate", float("inf"), ["studies.quick.inner.learning_rate = inf"]),
        ("studies.quick.train.meta_batch", 0, ["studies.quick.train.meta_batch = 0"]),
        ("studies.quick.train.meta_batch", 10**30, ["studies.quick.train.meta_batch"]),
        (
            "studies.quick.train.schedule",
            "linear",
            ["studies.quick.train.schedule = 'linear'", "'cosine' or 'constant'"],
        ),
        ("studies.quick.data.dataset", "mnist", ["studies.quick.data.dataset = 'mnist'"]),
        ("studies.quick.data.rotations", "no", ["studies.quick.data.rotations = 'no'"]),
        ("studies.quick.tiers.headline.seeds", [], ["studies.quick.tiers.headline.seeds"]),
        ("studies.quick.tiers.headline.seeds", 3, ["studies.quick.tiers.headline.seeds"]),
        ("studies.quick.tiers.headline.seeds", [-1], ["studies.quick.tiers.headline.seeds"]),
        ("studies.quick.tiers.headline.seeds", [0, 0], ["studies.quick.tiers.headline.seeds", "differ"]),
        ("variants.maml.approach", "mamal", ["variants.maml.approach = 'mamal'"]),
        ("variants.maml.tier", "long", ["variants.maml.tier = 'long'", "headline, ablation, survey"]),
        ("variants.maml.colour", "red", ["variants.maml.colour = 'red'"]),
        ("variants.maml.label", "", ["variants.maml.label"]),
        ("variants.maml.label", "\x01", ["variants.maml.label", "printable"]),
        ("variants.maml.label", "  ", ["variants.maml.label", "printable"]),
        ("variants.maml.label", "$x_{$ $$", None),
        ("variants.maml.label", "{real_wieght}:1", ["variants.maml", "{real_wieght}", "no option"]),
        # names become folders and stage addresses
        ("variants.ma-ml", {"tier": "survey"}, ["variant name 'ma-ml'", "letters, digits and underscores"]),
        ("variants.é", {"tier": "survey"}, ["variant name"]),
        ("variants.___", {"tier": "survey"}, ["variant name '___'"]),
        (f"variants.{'v' * 81}", {"tier": "survey"}, ["81 characters", "at most 80"]),
        # what contradicts something else
        ("variant_defaults.tier", "survey", ["variant_defaults.tier", "in each variant"]),
        ("variant_defaults.colour", "#000000", ["variant_defaults.colour", "in each variant"]),
        ("studies.quick.tasks.test_queries", 20, ["lower test_queries", "20 of one"]),
        ("studies.quick.tasks.train_queries", 20, ["lower train_queries"]),
        ("studies.quick.test.other_queries", [1, 20], ["lower test.other_queries", "20 of one"]),
        (
            "studies.quick.test.other_queries",
            [15],
            ["studies.quick.test.other_queries = [15]", "other numbers than tasks.test_queries 15"],
        ),
        ("studies.quick.test.other_queries", [1, 1], ["each once"]),
        ("studies.quick.test.other_queries", [0], ["studies.quick.test.other_queries"]),
        ("studies.quick.test.other_queries", [1, 19], None),
        ("studies.quick.train.snapshots", [0, 100, 6], None),
        ("studies.quick.train.snapshots", [5, 5], ["studies.quick.train.snapshots = [5, 5]", "each meta-step once"]),
        ("studies.quick.train.snapshots", [101], ["studies.quick.train.snapshots = [101]", "at most 100"]),
        ("studies.quick.data.rotations", True, ["studies.quick.data.rotations = true"]),
        ("studies.quick.data.validation_alphabets", 0, ["studies.quick.data.validation_alphabets = 0"]),
        ("studies.quick.data.train_characters", 100, ["studies.quick.data.train_characters"]),
        ("studies.quick.data.protocol", "standard", ["studies.quick.data.validation_alphabets"]),
        ("studies.omniglot_standard.data.validation_characters", 1200, ["fewer than train_characters"]),
        ("studies.omniglot_standard.data.validation_characters", 0, ["more than 0"]),
        ("studies.omniglot_standard.tasks.scope", "alphabet", ["studies.omniglot_standard.tasks.scope"]),
        ("studies.omniglot_standard.tasks.ways", 100, None),
        ("studies.omniglot_standard.data.train_on_validation", True, None),
        ("studies.quick.data.train_on_validation", True, ["studies.quick.data.train_on_validation = true"]),
        (
            "studies.quick.data.dataset",
            "fashion_mnist",
            ["studies.quick.data.dataset", "no alphabets", "no alphabets"],
        ),
        ("studies.quick.gan.dataset", "omniglot", ["studies.quick.gan.dataset", "no images by class", "fashion_mnist"]),
        ("studies.quick.network.layers", "authors", ["studies.quick.network.head = 'mean'", "expected 'flat'"]),
        ("variants.maml.shared_layers", 2, ["variants.maml.shared_layers", "multi_task"]),
        ("variants.n_plus_1.condition_discriminator", True, ["variants.n_plus_1.condition_discriminator"]),
        ("variants.n_plus_1.skip", True, None),
        # what the data set cannot make
        (
            "studies.quick.data.validation_alphabets",
            1000,
            ["studies.quick.data.validation_alphabets = 1000", "fewer than"],
        ),
        ("studies.quick.tasks.ways", 100, ["studies.quick.data.validation_alphabets", "tasks.ways"]),
    ],
)
def test_one_wrong_key(path, key, value, told):
    document = copy.deepcopy(DOCUMENT)
    put(document, key, value)
    if told is None:  # right, at the very edge of what is wrong
        load(path, document)
        return
    message = refusal(path, document)
    assert message.startswith("params.yaml")
    for part in told:
        assert part in message


def test_images_of_other_classes_need_twice_the_ways(path):
    document = copy.deepcopy(DOCUMENT)
    document["studies"]["quick"]["tasks"]["ways"] = 25
    load(path, document)
    document["variants"]["control_noise"]["fake_source"] = "alphabet"
    message = refusal(path, document)
    for part in ("variants.control_noise.fake_source", "twice studies.quick.tasks.ways = 25", "lower tasks.ways"):
        assert part in message


def test_a_variant_is_defined_once(path):
    document = copy.deepcopy(DOCUMENT)
    document["more_variants"]["maml"] = document["variants"]["maml"]
    assert refusal(path, document) == "params.yaml: more_variants.maml is in variants too; remove one of them"


def test_what_no_study_of_this_file_runs_is_checked_too(path):
    document = copy.deepcopy(DOCUMENT)
    document["more_variants"]["n_plus_1_label"]["skip"] = True
    assert refusal(path, document).startswith("params.yaml: more_variants.n_plus_1_label.skip = True: skip needs")
    document["more_variants"] = {}
    load(path, document)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"downsampling": "max_pool"}, "network.downsampling = 'max_pool': expected 'stride'"),
        ({"head": "mean"}, "network.head = 'mean': expected 'flat'"),
        ({"side": 12}, "network.layers = 'authors': three convolutions without padding leave nothing of data.side 12"),
        ({"side": 16}, None),
        ({"norm": "after_relu"}, None),
        ({"layers": "finn", "norm": "after_relu"}, "network.norm = 'after_relu': expected 'before_relu'"),
    ],
)
def test_layers_of_the_authors(path, changes, told):
    document = copy.deepcopy(DOCUMENT) | {"study": "own"}
    study = document["studies"]["own"]
    study["data"]["side"] = changes.pop("side", 28)
    study["network"] |= {"layers": "authors", "downsampling": "stride", "head": "flat"} | changes
    path.write_text(yaml.dump(document, Dumper=DUMPER, sort_keys=False), encoding="utf-8")
    if told is None:
        params.load(path)
        return
    with pytest.raises(ParamsError) as caught:
        params.load(path)
    assert f"params.yaml: studies.own.{told}" in str(caught.value)


def test_glyphs_have_no_rotations(path):
    document = copy.deepcopy(DOCUMENT)
    document["study"] = "omniglot_standard"
    put(document, "studies.omniglot_standard.data.dataset", "glyphs")
    message = refusal(path, document)
    assert "studies.omniglot_standard.data.rotations = true: expected false for 'glyphs'" in message


@pytest.mark.parametrize("name", ["a.b", "a/b", "..", "a b", "", 3, None, 1.5, True])
@pytest.mark.parametrize("kind", ["studies", "variants"])
def test_bad_names(path, kind, name):
    document = copy.deepcopy(DOCUMENT)
    document[kind][name] = copy.deepcopy(next(iter(document[kind].values())))
    assert "may hold only letters, digits and underscores" in refusal(path, document)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"approach": "multi_task", "skip": True, "conditioning": "label"}, "skip"),
        ({"approach": "multi_task", "conditioning": "none", "classify_fakes": True}, "classify_fakes"),
        (
            {
                "approach": "multi_task",
                "conditioning": "none",
                "classify_fakes": False,
                "condition_discriminator": True,
            },
            "condition_discriminator",
        ),
        (
            {"approach": "multi_task", "conditioning": "none", "classify_fakes": False, "outer_fake_weight": 1.0},
            "outer_fake_weight",
        ),
        ({"approach": "n_plus_1", "skip": True, "first_output": "ink"}, "first_output"),
        ({"approach": "n_plus_1", "fake_source": "noise", "generator_outer_loss": "fooling"}, "generator_outer_loss"),
        ({"approach": "n_plus_1", "outer_fake_batch": "with_query"}, "outer_fake_batch"),
        ({"approach": "n_plus_1", "discriminator_inner_lr": 0.1}, "discriminator_inner_lr"),
        ({"approach": "n_plus_1", "generator_class_weight": 1.0}, "generator_class_weight"),
        ({"approach": "multi_task", "classify_fakes": False, "generator_class_weight": 1.0}, "generator_class_weight"),
        ({"approach": "multi_task", "fake_source": "noise", "generator_class_weight": 1.0}, "generator_class_weight"),
        ({"approach": "maml", "outer_fake_weight": 1.0, "outer_fake_batch": "with_query"}, "outer_fake_batch"),
        (
            {
                "approach": "n_plus_1",
                "outer_fake_weight": 1.0,
                "outer_fake_batch": "with_query",
                "batch_statistics": "apart",
            },
            "outer_fake_batch",
        ),
    ],
)
def test_options_that_contradict_one_another(path, options, told):
    document = copy.deepcopy(DOCUMENT)
    document["variants"]["n_plus_1"] = {"tier": "survey", "label": "N+1", "colour": "#000000", **options}
    assert refusal(path, document).startswith(f"params.yaml: variants.n_plus_1.{told} = ")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data.train_characters": 1623, "data.validation_characters": 100}, "data.train_characters = 1623"),
        ({"data.train_characters": 1620}, "tasks.ways"),
        ({"data.validation_characters": 4}, "tasks.ways"),
        ({"data.protocol": "file_order", "data.validation_characters": 0}, "train.keep = 'best'"),
        (
            {"data.protocol": "file_order", "data.validation_characters": 0, "data.train_on_validation": True},
            "no validation_characters to train on",
        ),
        ({"data.protocol": "file_order", "tasks.scope": "alphabet"}, "under protocol 'file_order'"),
    ],
)
def test_pooled_characters_that_do_not_suffice(path, changes, told):
    document = copy.deepcopy(DOCUMENT) | {"study": "omniglot_standard"}
    for key, value in changes.items():
        put(document, f"studies.omniglot_standard.{key}", value)
    assert told in refusal(path, document)


def test_unknown_variant_has_a_hint():
    with pytest.raises(ParamsError, match="did you mean 'n_plus_1'"):
        params.load(SHIPPED).variant("n_plus1")


# Mutations: any file loads or is refused, and nothing else ever happens


def places(document: Any, path: tuple = ()) -> list[tuple]:
    found = [path] if path else []
    if isinstance(document, dict):
        for key, value in document.items():
            found += places(value, (*path, key))
    return found


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4), st.dates(),
    st.sampled_from([
        0, 1, 2, 5, 19, 20, 10**9, 10**40, 0.4, "glyphs", "omniglot", "standard", "any", "prototype", "maml", ".", "",
    ]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3), max_leaves=5
)
CHANGES: dict[str, Callable[[dict, Any, Any], None]] = {
    "replace": lambda block, key, value: block.update({key: value}),
    "remove": lambda block, key, value: block.pop(key),
    "rename": lambda block, key, value: block.update({str(key) + "x": block.pop(key)}),
    "add": lambda block, key, value: block.update({f"new_{key}": value}),
}


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(places(DOCUMENT)), st.sampled_from(sorted(CHANGES)), VALUES), min_size=1, max_size=3
    )
)
def test_mutations_load_or_are_refused(path, changes):
    document = copy.deepcopy(DOCUMENT)
    for place, change, value in changes:
        block = document
        for key in place[:-1]:
            block = block.get(key, {}) if isinstance(block, dict) else {}
        if isinstance(block, dict) and place[-1] in block:
            CHANGES[change](block, place[-1], value)
    try:
        load(path, document)
    except ParamsError as error:
        assert "\n" not in str(error)
        assert "params.yaml" in str(error)


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_torn_text_loads_or_is_refused(path, data):
    text = SHIPPED.read_text(encoding="utf-8")
    place = data.draw(st.integers(0, len(text) - 1))
    torn = text[:place] + data.draw(
        st.sampled_from(
            ["", "\n", ":", "{", "}", "[", "\t", "- ", "&a ", "*a", "!!set ", "? ", "\x00", "0x" + "f" * 5000]
        )
    )
    torn += text[place + data.draw(st.integers(0, 3)) :]
    try:
        load(path, torn)
    except ParamsError as error:
        assert "\n" not in str(error)


def test_a_snapshot_may_be_as_late_as_a_tier_of_the_studys_own(path):
    document = copy.deepcopy(DOCUMENT)
    study = document["studies"]["quick"]
    study["tiers"]["figures"] = {"meta_steps": 1500, "seeds": [0], "test_tasks": 20}
    study["train"]["snapshots"] = [0, 1500]
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert params.load(path).studies["quick"].train.snapshots == (0, 1500)
    study["train"]["snapshots"] = [1501]
    assert "expected at most 1500" in refusal(path, document)
