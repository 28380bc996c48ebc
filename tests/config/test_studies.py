"""Studies in folders of their own: they choose and change their variants."""

import shutil
from pathlib import Path

import pytest
import yaml

from megan.config import params, paths
from megan.config.params import ParamsError
from megan.stages import registry

ROOT = Path(__file__).parents[2]
TIERS = {"headline": {"meta_steps": 7, "seeds": [3], "test_tasks": 64}}
OWN = {
    "study": "two",
    "root": "../..",
    "here": "studies/two",
    "settings": {"tasks": {"train_queries": 5}, "tiers": {**TIERS, "long": {**TIERS["headline"], "meta_steps": 9}}},
    "variant_defaults": {"batch_statistics": "apart", "real_weight": 2.0},
    "variants": {
        "maml": None,
        "n_plus_1": {"tier": "long"},
        "multi_task_4": {"tier": "long"},
        "fast": {
            "tier": "headline",
            "approach": "maml",
            "settings": {"inner": {"learning_rate": 0.2}, "train": {"schedule": "constant"}},
            "label": "MAML, {inner.learning_rate}",
            "colour": "#000000",
        },
    },
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    write(tmp_path, OWN)
    return tmp_path


def write(project: Path, document: dict, name: str = "two") -> None:
    folder = project / "studies" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def changed(key: str, value: object) -> dict:
    document = yaml.safe_load(yaml.safe_dump(OWN))
    *parents, last = key.split(".")
    place = document
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return document


def test_its_variants_are_those_it_names(project):
    found = params.load(study="two")
    assert list(found.variants) == ["maml", "n_plus_1", "multi_task_4", "fast"]
    assert {stage.item for stage in registry.stages(found).values()} == {"", *found.variants}
    root = params.load()
    assert root.study == "quick" and "multi_task_4" not in root.variants
    assert root.of("two").variants == found.variants and found.of("quick").variants == root.variants


def test_defaults_of_the_study_yield_to_what_a_variant_states(project):
    found, root = params.load(study="two"), params.load()
    ours, shipped = found.variants["n_plus_1"], root.variants["n_plus_1"]
    assert (ours.batch_statistics, shipped.batch_statistics) == ("apart", "together")  # from the study's defaults
    assert ours.real_weight == shipped.real_weight == 3.0  # which n_plus_1 states itself
    assert found.variants["maml"].real_weight == 2.0
    assert found.variants["multi_task_4"].shared_layers == 4  # from more_variants, which the root does not run
    assert found.tier("n_plus_1").meta_steps == 9 and found.tier("maml").meta_steps == 7
    assert found.current.tasks.train_queries == 5 and found.current.tasks.ways == 5


def test_a_variant_can_change_settings(project):
    found = params.load(study="two")
    assert found.settings("maml") == found.current
    ours = found.settings("fast")
    assert (ours.inner.learning_rate, ours.train.schedule) == (0.2, "constant")
    assert ours.inner.steps == found.current.inner.steps
    assert found.styles["fast"].label == "MAML, 0.2"
    told = registry.parameters(found, registry.find(found, "train", "fast"))
    assert told["inner"]["learning_rate"] == 0.2 and told["train"]["schedule"] == "constant"
    assert registry.parameters(found, registry.find(found, "train", "maml"))["inner"]["learning_rate"] == 0.4


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("root", "..", "root = '..': expected '../..'"),
        ("study", "three", "study = 'three': expected 'two'"),
        ("setings", {}, "unknown key 'setings'; did you mean 'settings'?"),
        ("settings.tasks.wais", 3, "unknown key 'settings.tasks.wais'; did you mean 'settings.tasks.ways'?"),
        ("settings.tiers.long.seed", [3], "did you mean 'settings.tiers.long.seeds'?"),
        ("settings.tasks.ways", 1, "settings.tasks.ways = 1: expected"),
        ("settings.test.draws", 90, "settings.test.draws = 90: expected at most"),
        ("variants", {}, "variants must be a mapping that is not empty"),
        ("variants", ["maml"], "expected settings, variant_defaults and variants to be mappings"),
        ("variants.n_plus_1.tier", "longer", "variants.n_plus_1.tier = 'longer': expected one of the tiers"),
        ("variants.mamal", {}, "unknown variant 'mamal'; did you mean 'maml'?; a new one states tier"),
        ("variants.fast.settings.inner.learning_rate", -1, "variants.fast.settings.inner.learning_rate = -1"),
        ("variants.fast.settings.tasks", {"ways": 2}, "variants.fast.settings.tasks"),
        ("variants.fast.skip", True, "variants.fast.skip = True"),
    ],
)
def test_what_is_wrong_is_named(project, key, value, told):
    document = changed(key, value)
    if key == "variants.fast.skip":
        document["variants"]["fast"]["conditioning"] = "label"
    write(project, document)
    with pytest.raises(ParamsError) as caught:
        params.load()
    assert str(caught.value).startswith("studies/two/params.yaml: ") and told in str(caught.value)


def test_one_name_is_one_study(project):
    write(project, {**OWN, "study": "quick", "here": "studies/quick"}, "quick")
    with pytest.raises(ParamsError, match="params.yaml has a study 'quick' too"):
        params.load()


def test_a_variant_of_another_study(project):
    told = r"study 'quick' has no variant 'multi_task_4'; these have: two \(--study two"
    with pytest.raises(ParamsError, match=told):
        params.load().variant("multi_task_4")
    with pytest.raises(ParamsError, match="params.yaml: unknown variant 'mamal'; did you mean 'maml'?"):
        params.load().variant("mamal")


def test_unknown_study(project):
    with pytest.raises(ParamsError, match="unknown study 'twoo'; did you mean 'two'?"):
        params.load(study="twoo")


def test_commands_name_the_pipeline(project):
    found = params.load(study="two")
    assert registry.find(found, "train", "maml").target == "studies/two/dvc.yaml:train@maml"
    assert registry.find(params.load(), "train", "maml").target == "train@maml"
    with pytest.raises(registry.result.StaleError, match="run: dvc repro studies/two/dvc.yaml:prepare"):
        registry.prepare(found, "train", "maml")


@pytest.mark.parametrize(
    "folder", sorted(file.parent for file in (ROOT / paths.STUDIES).glob("*/params.yaml")), ids=lambda path: path.name
)
def test_a_shipped_study(folder):
    """The pipeline of its folder is a copy of the root's: for folder in studies/*/; do cp dvc.yaml $folder; done

    A link would break `dvc exp show`, `params diff` and `plots diff`, which read it in other revisions.
    """
    assert not (folder / "dvc.yaml").is_symlink()
    assert (folder / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    found = params.load(ROOT / "params.yaml", folder.name)
    assert [name for name in found.variants if found.tier(name).meta_steps < 1] == []


def test_the_plan_names_every_variant_of_its_studies_once():
    """`studies/plan.txt`: each target is a stage, and no variant of `anchor`, `code` and `text` is forgotten."""
    lines = (ROOT / paths.STUDIES / "plan.txt").read_text(encoding="utf-8").splitlines()
    targets = [target for line in lines if not line.startswith("#") for target in line.split()]
    assert len(targets) == len(set(targets))
    loaded = params.load(ROOT / "params.yaml")
    for study in ("anchor", "code", "text", "search"):
        addresses = {one.partition(":")[2] for one in targets if one.startswith(f"studies/{study}/dvc.yaml")} - {""}
        stages = registry.stages(loaded.of(study))
        assert addresses <= set(stages)
        if study != "search":
            assert {address for address in stages if address.startswith("test@")} <= addresses
            assert f"studies/{study}/dvc.yaml" in targets


def test_code_more_has_the_settings_of_code():
    """What its folder repeats of `code`, so that a variant's result means the same in both."""
    loaded = params.load(ROOT / "params.yaml")
    found = {study: _parameters(loaded.of(study)) for study in ("code", "code_more")}
    assert found["code_more"]
    assert found["code_more"] == {address: found["code"][address] for address in found["code_more"]}


def _parameters(study: params.Params) -> dict[str, dict]:
    """The parameters of the stages that make a variant's result, by address, without the name of the study."""
    made = ("download", "prepare", "encoder", "judge", "train", "test")
    stages = [stage for stage in registry.stages(study).values() if stage.address.partition("@")[0] in made]
    return {stage.address: registry.parameters(study, stage) | {"study": ""} for stage in stages}


def test_the_full_length_has_the_variants_of_the_record():
    """`paper` decides the claims of `text` with longer training: each variant has the same readings of the paper."""
    paper, text = params.load(study="paper"), params.load(study="text")

    def readings(found, name):
        return found.variants[name].model_dump(exclude={"settings"})  # these are kept meta-steps

    common = [name for name in paper.variants if name in text.variants]
    assert len(common) == 40 == len(paper.variants)
    for name in common:
        assert readings(paper, name) == readings(text, name), name
    assert paper.current.gan == text.current.gan and paper.current.inner == text.current.inner
    assert paper.current.network == text.current.network and paper.current.data == text.current.data
