"""Comparisons of curves, and accuracy against shared layers: what they draw and what their captions say."""

import jobs
import numpy as np
import pandas as pd
import pytest
from made_up import ROOT

from megan.config import params as parameters
from megan.config import paths
from megan.report import paper_curves, style
from megan.report.figures import FIGURES, comparisons, shared_layers
from megan.report.statistics import paired_difference

TABLES = paths.tables("quick")
COMPARED = [*comparisons.N_PLUS_1, *comparisons.MULTI_TASK]
ROWS = pytest.mark.parametrize("row", COMPARED, ids=lambda row: row.name)
WEIGHTING = FIGURES["weighting"].variants
SHARED = (shared_layers.REFERENCE, *shared_layers.VARIANTS)


def _lines(picture):
    return {line.get_gid(): line for axes in picture.figure.axes for line in axes.get_lines() if line.get_gid()}


def _ours(lines):
    return [gid for gid in lines if not gid.startswith("paper/")]


def _legend(picture):
    return [text.get_text() for text in picture.figure.legends[0].get_texts()]


def _summarised(study):
    jobs.run(study.write(), "summary")
    return study.params.styles


def _difference(variant, reference):
    found = paired_difference(
        *(pd.read_csv(paths.tested("quick", name) / "tasks.csv") for name in (variant, reference))
    )
    return f"({100 * found.difference:+.1f} +/- {100 * found.ci95_seeds:.1f} points)"


@ROWS
def test_curves_of_the_named_variants_alone(made_up, row):
    variants = _summarised(made_up(variants=(*row.variants, "another")))
    picture = row.build([TABLES], variants)
    lines = _lines(picture)
    assert _ours(lines) == [f"validation/{name}" for name in row.variants]
    means = pd.read_csv(TABLES / "curves_mean.csv").query("split == 'validation'")
    for name in row.variants:
        own = means[means["variant"] == name]
        assert np.allclose(lines[f"validation/{name}"].get_ydata(), own["accuracy"], atol=1e-6)
        assert lines[f"validation/{name}"].get_color() == variants[name].colour
    reference = row.variants[0]
    accuracy = pd.read_csv(TABLES / "accuracy.csv").set_index("variant")["accuracy"]
    assert f": {variants[reference].label} {accuracy[reference]:.1%};" in picture.caption
    for name in row.variants[1:]:
        assert f"{variants[name].label} {accuracy[name]:.1%} {_difference(name, reference)}" in picture.caption
        assert variants[name].label in picture.alt
    assert picture.caption.startswith(row.paper) and "No result in this study" not in picture.caption
    assert picture.title.startswith(f"{row.subject}, study quick (glyphs): 3 seeds, 800 meta-steps")


@pytest.mark.parametrize("name", [*(row.name for row in COMPARED), "shared_layers"])
def test_absent_variants_are_said(made_up, name):
    names = SHARED if name == "shared_layers" else FIGURES[name].variants
    kept = names[2:-1] if name == "shared_layers" else names[1:-1]
    picture = FIGURES[name].build([TABLES], _summarised(made_up(variants=kept)))
    missing = [one for one in names if one not in kept]
    assert f"No result in this study: {', '.join(missing)}." in picture.caption
    assert not any(gid.endswith(f"/{one}") for gid in _lines(picture) for one in missing)


@pytest.mark.parametrize("name", [*(row.name for row in COMPARED), "shared_layers"])
def test_without_any_of_its_variants(made_up, name):
    picture = FIGURES[name].build([TABLES], _summarised(made_up(variants=("another",))))
    assert "no variant of this figure" in picture.figure.axes[0].texts[0].get_text()
    assert "No result in this study" in picture.caption and "empty" in picture.alt


@ROWS
def test_diverged_seed(made_up, row):
    name = row.variants[1]
    variants = _summarised(made_up(variants=row.variants, diverged={name: {1: 300}}))
    picture = row.build([TABLES], variants)
    assert _lines(picture)[f"diverged/{name}/1"].get_xdata()[-1] == 300
    assert _difference(name, row.variants[0]) in picture.caption
    assert any("seed 1 diverged" in text for text in _legend(picture))


def test_every_seed_diverged(made_up):
    lost = {name: {0: 100} for name in ("multi_task_1", "maml_short")}
    picture = shared_layers.build(TABLES, _summarised(made_up(variants=SHARED, seeds=(0,), diverged=lost)))
    assert [text.get_text() for text in picture.figure.axes[0].texts] == ["every seed\ndiverged"]
    assert "MULTI_TASK_1: every seed diverged" in picture.caption and "points" not in picture.caption


def test_a_run_of_smoke_length_is_left_out_and_said(made_up):
    variants = _summarised(made_up(variants=WEIGHTING, smoke=("n_plus_1_equal",)))
    picture = FIGURES["weighting"].build([TABLES], variants)
    assert "validation/n_plus_1_equal" not in _lines(picture) and "N_PLUS_1_EQUAL" not in _legend(picture)
    assert "Left out, because their runs only show that the code runs: N_PLUS_1_EQUAL." in picture.caption


def test_short_runs_of_equal_length_are_compared(made_up):
    variants = _summarised(made_up(variants=WEIGHTING, smoke=WEIGHTING))
    picture = FIGURES["weighting"].build([TABLES], variants)
    assert _ours(_lines(picture)) == [f"validation/{name}" for name in WEIGHTING]
    assert "Short runs have fewer training tasks" in picture.caption and "Left out" not in picture.caption


def test_a_longer_run_that_is_not_short_is_marked_and_not_compared(made_up):
    variants = _summarised(made_up(variants=WEIGHTING, smoke=("n_plus_1_equal",), smoke_steps=600))
    picture = FIGURES["weighting"].build([TABLES], variants)
    assert "(not compared: different number of meta-steps); N_PLUS_1_WEIGHTED" in picture.caption
    assert any("600 meta-steps" in text for text in _legend(picture))


def test_lines_differ_without_colour(made_up):
    lines = _lines(FIGURES["weighting"].build([TABLES], _summarised(made_up(variants=WEIGHTING))))
    looks = {(str(lines[gid]._dash_pattern), lines[gid].get_marker()) for gid in _ours(lines)}
    assert len(looks) == len(WEIGHTING)


def test_the_legend_covers_no_axes_and_the_figure_is_one_column(made_up):
    figure = FIGURES["weighting"].build([TABLES], _summarised(made_up(variants=WEIGHTING))).figure
    figure.draw_without_rendering()
    legend, axes = figure.legends[0].get_window_extent(), figure.axes[0].get_tightbbox()
    assert legend.y1 <= axes.y0 and legend.y0 >= 0 and figure.get_figwidth() == style.COLUMN


def test_shared_layers(made_up):
    picture = shared_layers.build(TABLES, _summarised(made_up(variants=SHARED, diverged={"multi_task_2": {0: 100}})))
    axes, lines = picture.figure.axes[0], _lines(picture)
    table = pd.read_csv(TABLES / "accuracy.csv").set_index("variant")
    for shared, name in enumerate(shared_layers.VARIANTS):
        mean = lines[f"mean/{name}"]
        assert (mean.get_xdata()[0], mean.get_ydata()[0]) == (shared, table.loc[name, "accuracy"])
    dots = {
        artist.get_gid(): len(artist.get_offsets())
        for artist in axes.collections
        if (artist.get_gid() or "").startswith("seeds/")
    }
    assert dots == {f"seeds/{name}": 2 if name == "multi_task_2" else 3 for name in shared_layers.VARIANTS}
    (band,) = [patch for patch in axes.patches if patch.get_gid() == "band/maml_short"]
    row = table.loc["maml_short"]
    assert (band.get_y(), band.get_height()) == (
        pytest.approx(row["accuracy"] - row["ci95_seeds"]),
        pytest.approx(2 * row["ci95_seeds"]),
    )
    assert axes.get_xticklabels()[2].get_text() == "2\n(seed 0 diverged)"


def test_the_papers_points_are_drawn_beside_ours_and_named(made_up):
    variants = _summarised(made_up(variants=WEIGHTING, meta_steps=3600))
    picture = FIGURES["weighting"].build([TABLES], variants)
    lines = _lines(picture)
    others = {f"paper/right, {colour}" for colour in ("pink", "brown", "light blue")}
    assert {gid for gid in lines if gid.startswith("paper/")} == {
        "paper/n_plus_1_equal",
        "paper/n_plus_1_weighted",
        *others,
    }
    drawn = lines["paper/n_plus_1_equal"]
    assert list(drawn.get_xdata()) == [100, 200, 400, 480], "updates of 32 tasks, our meta-steps have 8"
    assert list(drawn.get_ydata()) == [0.644, 0.646, 0.66, 0.664]
    assert drawn.get_color() == variants["n_plus_1_equal"].colour
    assert "the paper's Fig. 5, read off" in _legend(picture) and paper_curves.READ_OFF in picture.caption
    assert "Fig. 5, right, pink" in _legend(picture) and paper_curves.UNMATCHED in picture.caption


def test_the_papers_points_beyond_our_run_are_not_drawn(made_up):
    lines = _lines(FIGURES["weighting"].build([TABLES], _summarised(made_up(variants=WEIGHTING, meta_steps=320))))
    assert list(lines["paper/n_plus_1_equal"].get_xdata()) == [100, 200]
    lines = _lines(FIGURES["weighting"].build([TABLES], _summarised(made_up(variants=WEIGHTING, meta_steps=160))))
    assert _ours(lines) == list(lines), "one point is no curve"


def test_the_papers_values_are_shares_of_known_variants():
    table = paper_curves.read()
    params = parameters.load(ROOT / "params.yaml")
    known = {name for variants in params.variants_by_study.values() for name in variants}
    assert {name for names in table["variant"] for name in names.split()} <= known
    assert table["accuracy"].between(0.2, 1).all() and table["reading_error"].between(0.001, 0.01).all()
    assert not table.duplicated(["figure", "curve", "meta_step"]).any()


def test_meta_test_of_kept_weights_is_drawn_beside_the_paper(made_up):
    styles = _summarised(made_up(variants=WEIGHTING, diverged={"maml": {1: 300}}))
    rows = [("maml", "MAML", seed, step, 0.7 + 0.1 * seed) for seed in range(3) for step in (0, 238)]
    table = pd.DataFrame(rows, columns=["variant", "label", "seed", "meta_step", "accuracy"])
    table.to_csv(TABLES / "snapshots.csv", index=False)
    picture = FIGURES["weighting"].build([TABLES], styles)
    drawn = _lines(picture)["kept/maml"]
    assert list(drawn.get_xdata()) == [0, 238] and np.allclose(drawn.get_ydata(), 0.8), "without the diverged seed"
    assert "kept/n_plus_1" not in _lines(picture)
    assert "meta-test of kept weights" in _legend(picture) and "Open squares" in picture.caption
