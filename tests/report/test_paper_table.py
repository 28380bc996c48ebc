"""The paper's numbers beside ours: which of our accuracies a point of the paper is held against."""

import pandas as pd
import pytest

from megan.report import paper_curves, paper_table


@pytest.fixture
def tables(tmp_path):
    """Writes validation accuracies of every 25 meta-steps, and meta-test ones of the given."""

    def write(kept):
        for name, steps in (("curves", range(0, 1501, 25)), ("snapshots", kept)):
            rows = [
                (variant, seed, step, "validation", 0.5 + seed / 100)
                for variant in ("maml", "maml_long")
                for seed in (0, 1)
                for step in steps
            ]
            pd.DataFrame(rows, columns=["variant", "seed", "meta_step", "split", "accuracy"]).to_csv(
                tmp_path / f"{name}.csv", index=False
            )
        pd.DataFrame(columns=["variant", "seed"]).to_csv(tmp_path / "diverged.csv", index=False)
        return tmp_path

    return write


def _curve(table, figure):
    return table[(table["figure"] == figure) & table["curve"].str.contains("MAML")]


def test_all_points_of_a_curve_are_held_against_one_split(tables):
    kept = [0, 500, 1000, 1500]
    table = paper_table.build(
        "text", {"maml": "MAML", "maml_long": "MAML, long"}, tables(kept), paper_curves.META_BATCH
    )
    six, ten = _curve(table, 6), _curve(table, 10)
    assert set(six["split"]) == {"validation"}  # validations are nearer to its points, although some kept ones are near
    assert (six["our_meta_step"] - six["meta_step"]).abs().max() <= 13
    assert set(ten["split"]) == {"test"} and ten["our_meta_step"].tolist() == kept  # a tie: both have these meta-steps


def test_a_point_without_a_near_meta_step_has_no_number_of_ours(tables):
    far = paper_table.build("text", {"maml": "MAML"}, tables([]), paper_curves.META_BATCH * 1000)
    assert _curve(far, 6)["ours"].isna().sum() == len(_curve(far, 6))
