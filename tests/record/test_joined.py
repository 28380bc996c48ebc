"""A record of variants that were run on two machines is that of one machine."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from megan import record
from megan.config import paths
from megan.record import check, earlier, joined, pages, pictures, writing
from megan.report import figures
from megan.report.page import gallery
from megan.stages import registry
from tests.record.conftest import DONE, DRAWN, LEFT, RUN, lock

# Cells that need the single tasks of a variant and of the reference.
OF_TASKS = {
    "comparisons.csv": ["ci95_tasks_within_seeds", "alphabets", "difference_alphabets", "ci95_alphabets"],
    "alphabets.csv": ["difference", "difference_ci95_seeds"],
}


@pytest.fixture
def machine(inside, tmp_path, monkeypatch):
    """`machine(*variants)`: a copy of the study in which only these have been run, with the last machine's record."""
    monkeypatch.setattr(figures, "FIGURES", {name: figures.FIGURES[name] for name in DRAWN})
    for name, value in (("DEVICE", "cpu"), ("THREADS", "1"), ("KERNEL", "torch")):
        monkeypatch.setenv(f"MEGAN_{name}", value)
    made = []

    def start(*variants):
        folder = tmp_path / f"machine {len(made)}"
        shutil.copytree(inside.folder, folder, ignore=shutil.ignore_patterns("record"))
        for name in set(RUN) - set(variants):
            for ran in (paths.trained("quick", name), paths.tested("quick", name)):
                shutil.rmtree(folder / ran)
        if made:
            shutil.copytree(made[-1] / paths.RECORD, folder / paths.RECORD)
        made.append(folder)
        monkeypatch.chdir(folder)
        gone = [f"{stage}@{name}" for name in set(RUN) - set(variants) for stage in ("train", "test")]
        entries = {address: entry for address, entry in lock(inside.params).items() if address not in gone}
        monkeypatch.setattr(writing, "_locked", lambda study: entries)
        return inside.params

    return start


@pytest.mark.parametrize("first", RUN)
def test_it_is_the_record_of_one_machine(machine, inside, first):
    (second,) = set(RUN) - {first}
    record.make(machine(first), weights_mib=4, finished=True)
    made = record.make(machine(second), weights_mib=4, finished=True)
    listed = record.verify(made)
    assert listed["kept"] == [first] and listed["variants"] == list(RUN)
    assert listed["not_run"] == [*(f"test@{name}" for name in LEFT), "gan"]
    whole = record.verify(inside.record)
    assert listed["files"].keys() == whole["files"].keys() and listed["weights"] == whole["weights"]
    same = {name for name, digest in whole["files"].items() if listed["files"][name] == digest}
    differ = {name for name in whole["files"].keys() - same if not name.endswith("record.json")}
    # Provenance has times, the page shows them, and the order of a file of weights is not fixed.
    weights = {f"weights/{name}.safetensors" for name in RUN}
    timed = {"report.html", "provenance/samples.json", "metrics.json", *weights}
    assert differ <= {f"tables/{name}" for name in OF_TASKS} | timed
    for name in weights:
        ours, wanted = (load_file(folder / name) for folder in (made, inside.record))
        assert ours.keys() == wanted.keys() and all((ours[key] == wanted[key]).all() for key in wanted)
    assert {"claims/claims.csv", "samples/realism.csv", "tables/curves.csv", f"train/{first}/record.json"} <= same
    for name, cells in OF_TASKS.items():
        ours, wanted = (joined.read(folder / "tables" / name) for folder in (made, inside.record))
        others = wanted.columns.difference(cells)
        # The record has accuracies of 6 digits, and an interval over two seeds is 12.7 times their spread.
        pd.testing.assert_frame_equal(_numbers(ours[others]), _numbers(wanted[others]), rtol=1e-4)
        assert (ours.loc[ours["variant"] == "n_plus_1", cells] == "").all(axis=None)
    ours, wanted = (json.loads((folder / "metrics.json").read_text()) for folder in (made, inside.record))
    assert ours == pytest.approx(wanted, abs=1e-5)
    assert list(check.compare(inside.params, made)) == []
    ours, wanted = (_images(folder) for folder in (made, inside.record))
    assert ours.keys() == wanted.keys() == {"fakes/n_plus_1", "support/n_plus_1"}
    assert all((ours[name] == wanted[name]).all() for name in wanted)


def _images(folder):
    return gallery.arrays(pages.with_images((folder / pages.NAME).read_text(encoding="utf-8")), 28)


def _numbers(table):
    """The table with numbers in the columns that hold nothing else."""
    found = table.apply(lambda column: pd.to_numeric(column, errors="coerce"))
    return table.assign(**{name: found[name] for name in found if found[name].notna().all()})


def test_a_record_alone_is_made_anew_without_its_variants(machine, inside):
    """After a change of the report: nothing but data, encoder and judge is here."""
    record.make(machine(*RUN), finished=True)
    made = record.make(machine(), finished=True)
    assert record.verify(made)["kept"] == list(RUN)
    for name in ("tables/comparisons.csv", "tables/validation.csv", "claims/claims.csv", "metrics.json"):
        assert (made / name).read_text() == (inside.record / name).read_text()


def test_what_does_not_belong_here_is_refused(machine, inside):
    """Another encoder, other parameters, an altered file, or a stage whose result would be lost: nothing is written."""
    record.make(machine("maml"), finished=True)
    params, folder = machine("n_plus_1"), paths.RECORD / "quick"
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))

    def refused(pattern, params=params):
        with pytest.raises(record.RecordError, match=pattern):
            record.make(params, finished=True)
        assert before == sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))

    made = paths.encoder("quick") / "record.json"
    text = made.read_text()
    made.write_text(json.dumps(json.loads(text) | {"again": 1}))
    refused("has train@maml, which has no result here.*another version of results/quick/encoder; run: dvc repro")
    made.write_text(text)
    inner = inside.params.current.inner.model_copy(update={"learning_rate": 0.2})
    current = inside.params.current.model_copy(update={"inner": inner})
    refused("learning_rate", inside.params.model_copy(update={"studies": {"quick": current}}))
    stages = registry.stages(params)
    with pytest.MonkeyPatch.context() as patch:
        recorded = {"gan": {}, "train@maml": {}, "test@maml": {}, "claims": {}, "config": {}}
        patch.setattr(check, "kept_lock", lambda folder: recorded)
        with pytest.raises(record.RecordError, match="has gan, which has no result here, and cannot be kept"):
            earlier.read(params, stages, DONE)
        done = [address for address in DONE if not address.endswith("maml")]
        recorded.pop("test@maml")
        with pytest.raises(record.RecordError, match="dvc.lock has no stage test@maml, so it cannot be kept"):
            earlier.read(params, stages, done)
    with open(folder / "metrics.json", "a") as file:
        file.write("\n")
    with pytest.raises(record.RecordError, match=r"metrics.json is altered.*restore the record from git, or remove"):
        record.make(params, finished=True)


def test_tables_that_the_code_writes_otherwise_are_refused(tmp_path, inside):
    def joined_with(**texts):
        shutil.rmtree(tmp_path / "tables", ignore_errors=True)
        for name, text in texts.items():
            (tmp_path / "tables" / name).mkdir(parents=True)
            (tmp_path / "tables" / name / "seeds.csv").write_text(f"{text}\nmaml,0,1\n")
        joined.tables(tmp_path / "tables/record", tmp_path / "tables/here", ["maml"], inside.params)

    with pytest.raises(record.RecordError, match="seeds.csv has the columns variant, seed, old, and the present code"):
        joined_with(record="variant,seed,old", here="variant,seed,new")
    joined_with(record="variant,seed,new", here="variant,seed,new")
    (tmp_path / "tables/here/further.csv").touch()
    with pytest.raises(record.RecordError, match="has the tables seeds.csv, and the present code writes further.csv"):
        joined.tables(tmp_path / "tables/record", tmp_path / "tables/here", ["maml"], inside.params)


def test_rows_are_in_the_order_of_the_variants_and_real_images_are_measured_once(tmp_path, inside):
    head = "variant,label,seed,kid"
    rows = {
        "record": ["n_plus_1,an old label,1,0.50", "real,,1,0.01", "real,,10,0.10"],
        "here": ["maml,MAML,1,0.20", "maml,MAML,1,0.30", "real,,2,0.02", "real,,1,0.01"],
    }
    for name, lines in rows.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "realism.csv").write_text("\n".join([head, *lines]) + "\n")
    joined.tables(tmp_path / "record", tmp_path / "here", ["n_plus_1"], inside.params)
    found = joined.read(tmp_path / "here" / "realism.csv")
    assert found["variant"].tolist() == ["maml", "maml", "n_plus_1", "real", "real", "real"]
    assert found["kid"].tolist() == ["0.20", "0.30", "0.50", "0.01", "0.02", "0.10"], "no digit is lost"
    assert found.loc[2, "label"] == inside.params.styles["n_plus_1"].label


@pytest.fixture
def grids(tmp_path):
    """`grids(name, seed, **arrays)`: the result of stage `samples`, or its place in a record."""

    def make(name, seed, arrays):
        folder = tmp_path / name / "samples"
        folder.mkdir(parents=True)
        about = {"seed": seed, "data": {"ink": True}, "variants": sorted({key.split("/")[1] for key in arrays})}
        (folder / "record.json").write_text(json.dumps(about))
        save_file(arrays, folder / pictures.ARRAYS)
        return folder

    return make


def random_images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_images_of_figures_come_back_from_png(grids):
    arrays = {
        "fakes/multi_task_0": random_images(4, 5, 2, 28, 28),
        "fakes/multi_task_0@1000": random_images(4, 3, 2, 28, 28),
        "support/multi_task_0": random_images(4, 2, 28, 28),
        "query/n_plus_1_short": random_images(4, 2, 2, 28, 28, 3),
        "fakes/control_noise": random_images(4, 5, 2, 28, 28),
        "fakes/multi_task_0@50": random_images(4, 5, 2, 28, 28),
    }
    kept = grids("record", 0, arrays)
    pictures.write(kept, kept)
    for name in ("control_noise", "multi_task_0@50"):
        assert not (kept / f"grids/fakes-{name}.png").exists(), "no figure shows it"
    mine = {"fakes/maml": random_images(1, 1, 1, 28, 28)}
    new = grids("new", 0, mine)
    pictures.add(kept.parent, new, ["multi_task_0"], 28)
    found = load_file(new / pictures.ARRAYS)
    assert found.keys() == {*mine, "fakes/multi_task_0", "fakes/multi_task_0@1000", "support/multi_task_0"}
    for name in found.keys() - mine.keys():
        wanted = arrays[name][:, :3] if name.startswith("fakes") else arrays[name]
        assert found[name].dtype == wanted.dtype and (found[name] == wanted).all()
    pictures.add(kept.parent, new, ["n_plus_1_short"], 28)
    assert (load_file(new / pictures.ARRAYS)["query/n_plus_1_short"] == arrays["query/n_plus_1_short"]).all()


@pytest.mark.parametrize(("here", "there", "left"), [(3, 0, {"multi_task_0"}), (None, 0, {"multi_task_0", "maml"}),
                                                     (3, None, {"multi_task_0", "maml"})])  # fmt: skip
def test_images_of_another_seed_give_way_to_those_of_the_record(grids, capsys, here, there, left):
    kept = grids("record", there, {"fakes/multi_task_0": random_images(1, 1, 1, 28, 28)})
    pictures.write(kept, kept)
    examples = {"examples": random_images(1, 1, 28, 28)}
    new = grids("new", here, {"fakes/maml": random_images(1, 1, 1, 28, 28)})
    save_file(load_file(new / pictures.ARRAYS) | examples, new / pictures.ARRAYS)
    pictures.add(kept.parent, new, ["multi_task_0"], 28)
    assert load_file(new / pictures.ARRAYS).keys() == {"examples", *(f"fakes/{name}" for name in left)}
    assert ("images of maml are left out" in capsys.readouterr().err) == ("maml" not in left)


def test_images_of_the_gallery_come_back_from_the_page(inside):
    """In its 16 greys; for every variant with fakes, whether a figure shows it or not."""
    found = _images(inside.record)
    assert found.keys() == {"fakes/n_plus_1", "support/n_plus_1"}
    shown = load_file(paths.tested("quick", "n_plus_1") / "shown.safetensors")
    at = shown["seeds"].tolist().index(3)
    fakes, support = (shown[name][at][: gallery.MOST_TASKS] for name in ("fakes", "support"))
    wanted = {"fakes/n_plus_1": fakes[:, :3, :8], "support/n_plus_1": support[:, :8]}
    for name, images in wanted.items():
        assert found[name].shape == images.shape and found[name].dtype == np.uint8
        assert np.abs(found[name].astype(int) - images).max() <= 9 and found[name].std() > 20
