"""A trained variant read from disk: the seed that was asked for, from a result or a record, and nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from megan import FewShotClassifier, record
from megan.config import paths
from megan.errors import MeganError
from megan.models import sizes
from megan.record import weights
from megan.record.manifest import digests
from megan.runs import result, storage
from megan.use import trained
from megan.use.trained import CheckpointError

COMMITTED = sorted((Path(__file__).parents[2] / paths.RECORD).glob("*/weights/*.safetensors"))


@pytest.fixture
def study(home, tmp_path, monkeypatch):
    """A copy of study `quick` as the working directory."""
    shutil.copytree(home[0], tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("MEGAN_DEVICE", "cpu")
    return home[1]["quick"]


def recorded(study) -> Path:
    """A record as `record.make` leaves it, in as far as weights are concerned."""
    folder = paths.RECORD / study.study
    (folder / "weights").mkdir(parents=True)
    for name, one in weights.best(study, 100).items():
        (folder / "weights" / f"{name}.safetensors").write_bytes(one.packed)
        (folder / "train" / name).mkdir(parents=True)
        shutil.copy(paths.trained(study.study, name) / result.RECORD, folder / "train" / name)
    manifest(folder)
    return folder


def manifest(folder: Path) -> None:
    storage.write_json(folder / record.MANIFEST, {"study": "quick", "files": digests(folder)})


def change(path: Path, **content) -> None:
    """Other content in a result's `record.json`."""
    path.write_text(json.dumps(json.loads(path.read_text()) | content))


def test_each_seed_has_its_own_weights(study):
    folder = paths.trained("quick", "n_plus_1")
    whole = load_file(folder / trained.WEIGHTS)
    for row, seed in enumerate((3, 8)):
        found = trained.load(folder, seed=seed)
        assert (found.seed, found.variant, found.study) == (seed, "n_plus_1", "quick")
        assert found.weights.keys() == whole.keys()
        assert all(torch.equal(value, whole[name][row : row + 1]) for name, value in found.weights.items())
    assert (found.ways, found.side, found.channels, found.ink) == (tiny.WAYS, tiny.SIDE, 1, True)
    assert found.params.current.train == study.current.train and found.system.sizes == sizes.of(study.current)
    assert trained.load(folder).system.variant.options == study.variant("n_plus_1").options
    found = trained.load(paths.trained("own", "n_plus_1"))
    assert (found.study, found.side, found.channels, found.ink) == ("own", tiny.COLOUR_SIDE, 3, False)


def test_a_record_holds_the_best_seed(study):
    folder = recorded(study)
    for name in ("maml", "n_plus_1"):
        found, wanted = trained.load(folder, name), trained.load(paths.trained("quick", name))
        assert found.seed == wanted.seed == trained.load(folder, name, wanted.seed).seed
        assert all(torch.equal(value, wanted.weights[key]) for key, value in found.weights.items())
        with pytest.raises(CheckpointError, match=f"holds seed {found.seed}, the best on validation tasks"):
            trained.load(folder, name, 11 - found.seed)
    with pytest.raises(CheckpointError, match="weights of maml, n_plus_1; say which by `variant`"):
        trained.load(folder)
    with pytest.raises(CheckpointError, match="no weights of variant 'n_plus_2'; it has those of: maml, n_plus_1"):
        trained.load(folder, "n_plus_2")
    (folder / "weights" / "maml.safetensors").unlink()
    with pytest.raises(MeganError, match="maml.safetensors is missing"):
        trained.load(folder, "maml")
    manifest(folder)
    assert trained.load(folder).variant == "n_plus_1", "the only one"
    shutil.rmtree(folder / "weights")
    manifest(folder)
    with pytest.raises(CheckpointError, match="holds no weights; make the record with .* --weights"):
        trained.load(folder)


def test_the_folder_of_a_variant_in_a_record_means_its_weights_there(study):
    folder = recorded(study)
    found, wanted = trained.load(folder / "train" / "maml"), trained.load(folder, "maml")
    assert found.variant == "maml" and found.weights.keys() == wanted.weights.keys()
    assert all(torch.equal(value, wanted.weights[name]) for name, value in found.weights.items())


def test_settings_of_a_variant_are_those_of_its_training(study):
    """They are in the blocks of its parameters, and are not applied again."""
    folder = paths.trained("quick", "maml")
    parameters = result.load(folder)["parameters"]
    parameters["inner"] |= {"steps": 3}
    parameters["variant"] |= {"settings": {"inner": {"steps": 3}}}
    change(folder / result.RECORD, parameters=parameters)
    assert trained.load(folder).system.inner.steps == 3


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_weights_of_committed_records_classify(path):
    """Strokes of five different places and directions, and the same strokes one pixel further."""
    known = np.zeros((5, 28, 28), np.uint8)
    known[0, 3:6, 4:24] = known[1, 4:24, 3:6] = known[2, 20:23, 4:24] = known[3, 4:24, 21:24] = 255
    known[4, range(4, 24), range(4, 24)] = 255
    classifier = FewShotClassifier.from_checkpoint(path.parent.parent, variant=path.stem)
    found = classifier.fit(known, list("abcde")).predict(np.roll(known, 1, axis=(1, 2)))
    assert found.tolist() == list("abcde")


def test_what_cannot_be_used_says_why(study):
    folder = paths.trained("quick", "maml")
    for options, told in (
        ({"seed": 4}, "has no seed 4; expected one of: 3, 8"),
        ({"variant": "n_plus_1"}, "holds variant 'maml', not 'n_plus_1'"),
    ):
        with pytest.raises(CheckpointError, match=told):
            trained.load(folder, **options)
    for wrong in ("results", "nowhere"):
        with pytest.raises(CheckpointError, match=f"{wrong} is no checkpoint: .*dvc repro train@"):
            trained.load(wrong)
    with pytest.raises(CheckpointError, match="is not the result of a stage train"):
        trained.load(paths.encoder("quick"))
    whole = json.loads((folder / result.RECORD).read_text())
    change(folder / result.RECORD, parameters={"tasks": whole["parameters"]["tasks"]})
    with pytest.raises(CheckpointError, match="quick/train/maml was made by another version"):
        trained.load(folder)
    save_file({"other": torch.zeros(1)}, folder / trained.WEIGHTS)
    with pytest.raises(MeganError, match="weights.safetensors does not match its digest"):
        trained.load(folder)


def test_a_diverged_seed_is_not_used(study):
    folder = paths.trained("quick", "maml")
    curve = pandas.read_csv(folder / "curve.csv").query("split == 'validation'")
    best = int(curve.loc[curve["accuracy"].idxmax(), "seed"])
    change(folder / result.RECORD, diverged={str(best): {"meta_step": 1, "loss": None}})
    assert trained.load(folder).seed == 11 - best
    with pytest.raises(CheckpointError, match=f"seed {best} diverged"):
        trained.load(folder, seed=best)
    change(folder / result.RECORD, diverged={"3": {}, "8": {}})
    with pytest.raises(CheckpointError, match="every seed diverged"):
        trained.load(folder)


def test_prototypes_need_the_encoder_of_the_training(study):
    folder, encoder = paths.trained("quick", "n_plus_1_prototype"), paths.encoder("quick")
    assert trained.load(folder).encoder is not None and trained.load(paths.trained("quick", "maml")).encoder is None
    change(encoder / result.RECORD, again=1)
    with pytest.raises(CheckpointError, match="is not the encoder that variant n_plus_1_prototype was trained with"):
        trained.load(folder)
    shutil.rmtree(encoder)
    with pytest.raises(CheckpointError, match="their encoder is not in results/quick/encoder"):
        trained.load(folder)
