"""`python -m megan compare`: the numbers, what may be compared, and what is said otherwise."""

import json
import math
import shutil
from pathlib import Path

import jobs
import pandas as pd
import pytest
from scipy import stats

from megan import __main__ as command_line
from megan.compare import compare, paired, side
from megan.config import params as parameters
from megan.config import paths
from megan.errors import MeganError
from megan.runs import result
from megan.stages import registry

ROOT = Path(__file__).parents[1]
RECORD = "results/record/omniglot_2500"


def retest(params, name: str, tasks: pd.DataFrame | None = None, **content) -> None:
    """Leave a meta-test as stage `test` does, with other `tasks` or other content of its record."""
    folder = paths.tested(params.study, name)
    if tasks is not None:
        tasks.to_csv(folder / "tasks.csv", index=False)
    made = result.load(folder)
    kept = {key: made[key] for key in ("variant", "meta_steps", "seeds", "diverged") if key in made}
    prepared = paths.prepared(params.study).as_posix()
    inputs = {prepared: registry.Digests(params).of(prepared)}
    jobs.leave_record(params, "test", name, **{**kept, "inputs": inputs, **content})


def table(*seeds: list[float]) -> pd.DataFrame:
    """Accuracies by seed and task, with the alphabets of the made-up study."""
    rows = [
        (seed, task, value, math.nan, "AB"[task % 2])
        for seed, own in enumerate(seeds)
        for task, value in enumerate(own)
    ]
    return pd.DataFrame(rows, columns=["seed", "task", "accuracy", "fake_wins", "alphabet"])


@pytest.fixture
def study(made_up):
    """Variants `a` and `b` of study `quick`, tested with three seeds on 20 tasks each."""
    params = made_up(variants=("a", "b")).write()
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    paths.prepared(params.study).mkdir(parents=True)
    (paths.prepared(params.study) / "splits.json").write_text("{}")
    for name in params.variants:
        retest(params, name)
    return params


def both(study, a: str = "a", b: str = "b") -> paired.Comparison:
    return paired.compare(side.read(study, a), side.read(study, b))


def test_numbers_of_a_worked_example(study):
    retest(study, "a", table([0.5, 0.7], [0.6, 0.6], [0.9, 0.5]))
    retest(study, "b", table([0.4, 0.6, 0.1], [0.4, 0.6, 0.2], [0.4, 0.4, 0.3]))  # the third task has no partner
    found = both(study)
    assert found.seeds["difference"].tolist() == pytest.approx([0.1, 0.1, 0.3])
    assert found.seeds["tasks"].tolist() == [2, 2, 2]
    assert found.overall.difference == pytest.approx(0.5 / 3)
    # s = 0.11547, t with 2 degrees of freedom 4.3027: half-width 0.2868.
    assert found.overall.ci95_seeds == pytest.approx(0.2868, abs=1e-4)
    assert found.p == pytest.approx(stats.ttest_1samp([0.1, 0.1, 0.3], 0).pvalue)
    assert found.seeds["ci95_tasks"].tolist() == pytest.approx([0, 0.196, 0.392], abs=1e-3)


def test_b_minus_a_is_the_opposite(study):
    there, back = both(study), both(study, "b", "a")
    assert there.overall.difference == -back.overall.difference
    assert there.p == back.p and 0 < there.p < 1


def test_equal_variants_have_p_1_and_one_seed_has_none():
    assert paired.p_value([0.0, 0.0]) == 1
    assert paired.p_value([0.5, 0.5]) == 0
    assert math.isnan(paired.p_value([0.1]))


def test_files_and_text(study, tmp_path):
    told = compare(study, "a", "b")
    files = {path.name for path in paths.compared("quick").iterdir()}
    assert files == {"a-b.png", "a-b.svg", "a-b.json", "a-b.csv"}
    words = json.loads((paths.compared("quick") / "a-b.json").read_text())
    answer = told.splitlines()[2].removeprefix("A - B: ")
    assert answer in words["caption"] and answer in words["alt"]
    assert "60 common meta-test tasks of 3 seeds (5 ways, 1 shot, 15 queries per class)" in told
    assert max(map(len, told.splitlines())) <= 120
    seeds = pd.read_csv(paths.compared("quick") / "a-b.csv")
    assert seeds["a"].to_numpy() - seeds["b"].to_numpy() == pytest.approx(seeds["difference"].to_numpy(), abs=1e-5)
    assert "elsewhere.png" in compare(study, "a", "quick/b", tmp_path / "new" / "elsewhere.png")
    assert (tmp_path / "new" / "elsewhere.svg").is_file()


def test_picture_has_a_mark_for_each_seed_and_the_mean(study, tmp_path):
    compare(study, "a", "b", tmp_path / "one.png")
    drawn = (tmp_path / "one.svg").read_text()
    assert drawn.count("<!-- seed ") == 3 and drawn.count("<!-- mean -->") == 1
    assert "reference/zero" in drawn


def test_notes_on_length_seeds_and_sampler(study):
    retest(study, "a", table([0.5, 0.7], [0.6, 0.6]), meta_steps=5, code={paired.SAMPLER[0]: "old"})
    notes = " ".join(both(study).notes)
    assert "a trained for 5 meta-steps, b for 800" in notes
    assert "b was tested with 3 seeds, 2 of them in common" in notes
    assert "different versions of the task sampler (megan/data/episodes.py)" in notes


def test_one_common_seed_has_the_interval_over_tasks(study):
    retest(study, "a", table([0.5, 0.7, 0.6]))
    told = compare(study, "a", "b")
    assert "over the tasks of these trained networks" in told and "p = " not in told
    assert "note: one seed has no interval over seeds" in told


def test_a_diverged_seed_is_left_out_and_named(made_up):
    params = made_up(variants=("a", "b"), diverged={"a": {1: 400}}).write()
    paths.prepared(params.study).mkdir(parents=True)
    (paths.prepared(params.study) / "splits.json").write_text("{}")
    for name in params.variants:
        retest(params, name)
    found = both(params)
    assert found.seeds["seed"].tolist() == [0, 2]
    assert "left out, because a diverged: seed 1" in found.notes


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tasks": {"ways": 20}}, "tasks.ways = 5 and 20"),
        ({"tasks": {"test_queries": 3}}, "tasks.test_queries = 15 and 3"),
        ({"data": "0" * 64}, "their records name other images"),
        ({"data": ""}, "their records name other images"),
    ],
)
def test_other_tasks_are_refused(study, change, told):
    a, b = side.read(study, "a"), side.read(study, "b")
    b.made["parameters"]["tasks"] |= change.get("tasks", {})
    if "data" in change:
        b.made["inputs"] = {"data/prepared/x": change["data"]} if change["data"] else {}
    with pytest.raises(paired.TasksError, match=f"a and b were not tested on the same tasks: {told}"):
        paired.compare(a, b)


def test_tasks_of_other_alphabets_are_refused(study):
    retest(study, "b", table([0.5, 0.7], [0.6, 0.6]).assign(alphabet="Z"))
    with pytest.raises(paired.TasksError, match="task 0 of seed 0 is of 'A' and of 'Z'"):
        both(study)


def test_no_common_seed_is_refused(study):
    tasks = table([0.5, 0.7])
    retest(study, "b", tasks.assign(seed=7))
    with pytest.raises(paired.TasksError, match="no seed in common: a has 0, 1, 2 and b has 7; test both"):
        both(study)


UNKNOWN = {
    "aa": "unknown variant 'aa'; did you mean 'a'?",
    "quik/a": "there is no study 'quik', and no folder of results there; did you mean 'quick'?",
    "results/quick/aa": "results/quick has no meta-test results of a variant 'aa'; did you mean 'a'?",
    "": "'' names no variant; expected VARIANT, STUDY/VARIANT",
    "a@": "'a@' names no variant",
    "quick/": "'quick/' names no variant",
}


def test_unknown_names_have_a_hint(study):
    for name, told in UNKNOWN.items():
        with pytest.raises(MeganError) as raised:
            side.read(study, name)
        assert told in str(raised.value)


def test_says_what_to_run_first(study, monkeypatch):
    shutil.rmtree(paths.tested("quick", "b"))
    with pytest.raises(MeganError, match="results/quick/test/b/record.json is missing; run: dvc repro test@b"):
        compare(study, "a", "b")
    monkeypatch.chdir(ROOT)
    shipped = parameters.load()
    with pytest.raises(MeganError) as raised:
        side.read(shipped, "omniglot_2500/maml")
    assert "dvc exp run -S study=omniglot_2500 test@maml" in str(raised.value)
    assert f"or compare with its record, {RECORD}/maml" in str(raised.value)


def test_changed_parameters_and_altered_files_are_refused(study):
    made = result.load(paths.tested("quick", "a"))
    made["parameters"]["tasks"]["ways"] = 3
    (paths.tested("quick", "a") / result.RECORD).write_text(json.dumps(made))
    with pytest.raises(MeganError, match="made with tasks.ways = 3, params.yaml says 5; run: dvc repro test@a"):
        side.read(study, "a")
    (paths.tested("quick", "b") / "tasks.csv").write_text("seed,task,accuracy\n0,0,1\n")
    with pytest.raises(MeganError, match="does not match its digest"):
        side.read(study, "b")


def test_a_record_is_compared_by_its_means(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    picture = tmp_path / "record.png"
    given = ["compare", f"{RECORD}/n_plus_1", f"{RECORD}/maml", "--output", str(picture)]
    assert command_line.main(given) == 0
    told = capsys.readouterr().out
    # As results/record/omniglot_2500/tables/comparisons.csv: 0.00750333 +/- 0.00406796.
    assert "A - B: +0.75 percentage points, 95 % interval +0.34 to +1.16 over 8 seeds, p = 0.003" in told
    assert picture.is_file()


def test_records_of_other_numbers_of_tasks_are_refused(monkeypatch):
    monkeypatch.chdir(ROOT)
    params = parameters.load()
    a, b = (side.read(params, f"{RECORD}/{name}") for name in ("maml", "n_plus_1"))
    b.seeds.loc[0, "tasks"] = 600
    with pytest.raises(paired.TasksError, match="1000 and 600 tasks of seed 100"):
        paired.compare(a, b)


def test_output_must_be_a_png_file_that_can_be_written(study):
    for output in ("picture.pdf", "picture"):
        with pytest.raises(MeganError, match=f"--output {output}: expected a file that ends in .png"):
            compare(study, "a", "b", Path(output))
    Path("taken").write_text("")
    with pytest.raises(MeganError, match="cannot be written .*; name another file with --output"):
        compare(study, "a", "b", Path("taken/picture.png"))
