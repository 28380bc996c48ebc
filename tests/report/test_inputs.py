"""What the report refuses: each case one line, with the file and the command."""

import json

import pytest

from megan import paths
from megan.report import inputs, summary
from megan.report.inputs import ReportError

TRAIN, TEST = paths.trained("quick", "n_plus_1"), paths.tested("quick", "n_plus_1")
FILES = [
    TRAIN / "curve.csv", TRAIN / "record.json", TEST / "tasks.csv", TEST / "steps.csv", TEST / "record.json",
    paths.encoder("quick") / "metrics.json",
]


def _refused(params, *words):
    with pytest.raises(ReportError) as caught:
        summary.run(params)
    message = str(caught.value)
    assert "\n" not in message and "dvc repro" in message
    for word in words:
        assert str(word) in message
    assert not paths.metrics("quick").exists() and not paths.tables("quick").exists()


def _edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_missing(made_up, path):
    params = made_up().write()
    path.unlink()
    _refused(params, path, "missing")


@pytest.mark.parametrize("path", FILES, ids=str)
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.97])
def test_cut_short(made_up, path, keep):
    params = made_up().write()
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    _refused(params, path)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_not_text(made_up, path):
    params = made_up().write()
    path.write_bytes(b"\x80\x81\xfe\n")
    _refused(params, path)


@pytest.mark.parametrize("name", ["tasks.csv", "steps.csv"])
def test_whole_last_lines_missing(made_up, name):
    params = made_up().write()
    lines = (TEST / name).read_text().splitlines(keepends=True)
    (TEST / name).write_text("".join(lines[:-1]))
    _refused(params, TEST / name, "seed 2")


def test_curve_whose_last_lines_are_missing(made_up):
    params = made_up().write()
    lines = (TRAIN / "curve.csv").read_text().splitlines(keepends=True)
    (TRAIN / "curve.csv").write_text("".join(lines[:-3]))
    _refused(params, TRAIN / "curve.csv", "torn")


@pytest.mark.parametrize("path", [TRAIN / "record.json", TEST / "record.json"], ids=str)
@pytest.mark.parametrize(
    ("key", "found", "wanted"),
    [("study", "omniglot", "quick"), ("variant", "maml", "n_plus_1"), ("meta_steps", 20, 800), ("seeds", [0, 1], [0, 1, 2])],
)
def test_of_other_parameters(made_up, path, key, found, wanted):
    params = made_up().write()
    _edit(path, **{key: found})
    _refused(params, path, key, repr(found), repr(wanted))


def test_of_another_number_of_tasks(made_up):
    params = made_up().write()
    _edit(TEST / "record.json", tasks=19)
    _refused(params, "19", "20")


@pytest.mark.parametrize("diverged", [{"7": {"meta_step": 3, "loss": None}}, {"1": {"loss": None}}, [1], {"one": {}}])
def test_impossible_divergence(made_up, diverged):
    params = made_up().write()
    _edit(TRAIN / "record.json", diverged=diverged)
    _refused(params, TRAIN / "record.json", "diverged")


@pytest.mark.parametrize("best", [None, [1], {"0": "late"}])
def test_unreadable_best_meta_step(made_up, best):
    params = made_up().write()
    _edit(TRAIN / "record.json", best_meta_step=best)
    _refused(params, TRAIN / "record.json", "best_meta_step")


def test_test_older_than_training(made_up):
    params = made_up(diverged={"n_plus_1": {1: 300}}).write()
    _edit(TEST / "record.json", diverged={})
    _refused(params, TEST / "record.json", TRAIN / "record.json", "seed 1")


@pytest.mark.parametrize("value", ["1.2", "-0.1", "", "nan", "good"])
def test_impossible_accuracy(made_up, value):
    params = made_up().write()
    lines = (TEST / "tasks.csv").read_text().splitlines()
    lines[3] = f"0,2,{value},0.05"
    (TEST / "tasks.csv").write_text("\n".join(lines) + "\n")
    _refused(params, TEST / "tasks.csv")


def test_rows_given_twice(made_up):
    params = made_up().write()
    text = (TRAIN / "curve.csv").read_text()
    (TRAIN / "curve.csv").write_text(text + text.splitlines(keepends=True)[1])
    _refused(params, TRAIN / "curve.csv", "twice")


def test_unknown_split_and_late_meta_step(made_up):
    params = made_up().write()
    text = (TRAIN / "curve.csv").read_text()
    (TRAIN / "curve.csv").write_text(text + "0,800,test,0.9,0.1,0.0\n")
    _refused(params, TRAIN / "curve.csv", "'test'")
    (TRAIN / "curve.csv").write_text(text + "0,801,train,0.9,0.1,0.0\n")
    _refused(params, TRAIN / "curve.csv", "801", "800")


def test_encoder_without_an_accuracy(made_up):
    params = made_up().write()
    _edit(paths.encoder("quick") / "metrics.json", validation_accuracy=None)
    _refused(params, paths.encoder("quick") / "metrics.json", "validation_accuracy")


def test_a_diverged_seed_may_have_broken_off_anywhere(made_up):
    params = made_up(diverged={"n_plus_1": {1: 1}}).write()
    results = inputs.variant_results(params, "n_plus_1")
    assert results.finished == [0, 2] and 1 not in set(results.curve["seed"])
    assert results.diverged[1].meta_step == 1
