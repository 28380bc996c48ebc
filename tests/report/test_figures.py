"""The figures: what is drawn, from matplotlib's own objects, and the files."""

import subprocess
import sys
from importlib import import_module

import jobs
import numpy as np
import pandas as pd
import pytest

from megan.config import paths
from megan.report import figures
from megan.report.figures import accuracy, adaptation, convergence
from megan.report.inputs import ReportError

TABLES = paths.tables("quick")
# Those that read the tables alone; what reads samples has tests of its own.
OF_TABLES = {
    name: module for name in figures.MODULES if not hasattr(module := import_module(figures.MODULES[name]), "READS")
}


def _lines(figure):
    return {line.get_gid(): line for axes in figure.axes for line in axes.get_lines() if line.get_gid()}


def _bands(figure):
    return sum(
        type(artist).__name__ == "FillBetweenPolyCollection" for axes in figure.axes for artist in axes.collections
    )


def _words(figure):
    return " ".join(f"{figure.get_suptitle()} {figure.get_supxlabel()}".split())


def _summarised(study):
    params = study.write()
    jobs.run(params, "summary")
    return params.styles


@pytest.mark.parametrize("name", OF_TABLES)
def test_files_are_the_same_twice(made_up, name):
    study = made_up(diverged={"n_plus_1": {1: 300}})
    _summarised(study)
    files = [paths.figures("quick") / f"{name}.{suffix}" for suffix in ("png", "svg")]
    figures.draw(name, study.params)
    before = [path.read_bytes() for path in files]
    assert before[0].startswith(b"\x89PNG") and b"<svg" in before[1]
    for path in files:
        path.unlink()
    figures.draw(name, study.params)
    assert [path.read_bytes() for path in files] == before
    assert sorted(paths.figures("quick").iterdir()) == sorted(files)


@pytest.mark.parametrize("name", OF_TABLES)
def test_a_dollar_in_a_name_is_a_dollar(made_up, name):
    study = made_up(labels={"maml": "$x_{$", "n_plus_1": "$$"})
    _summarised(study)
    figures.draw(name, study.params)


@pytest.mark.parametrize("name", figures.MODULES)
def test_missing_tables(made_up, name):
    with pytest.raises(ReportError, match="missing; run `dvc repro`"):
        figures.draw(name, made_up().params)


@pytest.mark.parametrize("name", OF_TABLES)
def test_tables_without_a_variant(made_up, name):
    _summarised(made_up())
    with pytest.raises(ReportError, match="'later'"):
        figures.draw(name, made_up(variants=("maml", "n_plus_1", "later")).params)


def test_convergence_lines(made_up):
    variants = _summarised(made_up())
    figure = convergence.build(TABLES, variants)
    lines = _lines(figure)
    assert sorted(lines) == ["train/maml", "train/n_plus_1", "validation/maml", "validation/n_plus_1"]
    mean = pd.read_csv(TABLES / "curves_mean.csv").query("variant == 'maml' and split == 'validation'")
    steps, heights = lines["validation/maml"].get_data()
    assert list(steps) == mean["meta_step"].tolist()
    assert np.allclose(heights, mean["accuracy"], atol=1e-6)
    assert lines["validation/maml"].get_color() == variants["maml"].colour
    assert lines["train/maml"].get_linewidth() < lines["validation/maml"].get_linewidth()
    assert _bands(figure) == 2
    assert (
        "quick" in _words(figure)
        and "3 seeds, 800 meta-steps" in _words(figure)
        and "lowest to highest seed" in _words(figure)
    )


def test_band_is_lowest_to_highest_seed(made_up):
    variants = _summarised(made_up())
    figure = convergence.build(TABLES, {"maml": variants["maml"]})
    (band,) = [artist for artist in figure.axes[0].collections if type(artist).__name__ == "FillBetweenPolyCollection"]
    corners = band.get_paths()[0].vertices
    last = pd.read_csv(TABLES / "curves.csv").query("variant == 'maml' and split == 'validation' and meta_step == 800")[
        "accuracy"
    ]
    at_end = corners[corners[:, 0] == 800][:, 1]
    assert (at_end.min(), at_end.max()) == (pytest.approx(last.min()), pytest.approx(last.max()))


@pytest.mark.parametrize("module", [convergence, adaptation])
def test_one_seed_has_no_band_and_says_so(made_up, module):
    figure = module.build(TABLES, _summarised(made_up(seeds=(0,))))
    assert _bands(figure) == 0
    assert "1 seed," in _words(figure) and "no band" in _words(figure)


def test_diverged_seed_is_marked_where_it_broke(made_up):
    variants = _summarised(made_up(diverged={"n_plus_1": {1: 310}}))
    figure = convergence.build(TABLES, variants)
    broken = _lines(figure)["diverged/n_plus_1/1"]
    assert broken.get_xdata()[-1] == 310 and broken.get_linestyle() == ":"
    own = pd.read_csv(TABLES / "curves.csv").query("variant == 'n_plus_1' and seed == 1 and split == 'validation'")
    assert np.allclose(broken.get_ydata()[:-1], own["accuracy"]) and broken.get_ydata()[-1] == broken.get_ydata()[-2]
    mean = pd.read_csv(TABLES / "curves_mean.csv").query("variant == 'n_plus_1' and split == 'validation'")["accuracy"]
    assert np.allclose(_lines(figure)["validation/n_plus_1"].get_ydata(), mean, atol=1e-6)
    assert any("seed 1 diverged" in text.get_text() for text in figure.axes[0].get_legend().get_texts())


def test_a_run_of_one_point_still_shows(made_up):
    variants = _summarised(made_up())
    curves = pd.read_csv(TABLES / "curves.csv")
    curves[(curves["variant"] == "maml") | (curves["meta_step"] == 800)].to_csv(TABLES / "curves.csv", index=False)
    lines = _lines(convergence.build(TABLES, variants))
    assert lines["validation/n_plus_1"].get_marker() == "o" and lines["validation/maml"].get_marker() in ("", "None")


def test_variants_of_one_colour_differ_in_marker(made_up):
    variants = _summarised(made_up())
    variants = {name: variant.model_copy(update={"colour": "#123456"}) for name, variant in variants.items()}
    for module, prefix in ((convergence, "validation"), (adaptation, "steps")):
        lines = _lines(module.build(TABLES, variants))
        assert lines[f"{prefix}/maml"].get_marker() != lines[f"{prefix}/n_plus_1"].get_marker()


def test_many_variants_get_a_panel_each(made_up):
    names = ("maml", *(f"v{number}" for number in range(9)))
    variants = _summarised(made_up(variants=names, seeds=(0,)))
    figure = convergence.build(TABLES, variants)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [name.upper() for name in names]
    assert [axes.get_lines()[0].get_gid() for axes in figure.axes[1:]] == ["reference/maml"] * 9
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert "Grey, dashed: MAML" in _words(figure)


def test_what_differs_is_noted(made_up):
    variants = _summarised(made_up(variants=("maml", "a", "b"), smoke=("b",)))
    figure = accuracy.build(TABLES, variants)
    labels = [[label.get_text() for label in axes.get_yticklabels()] for axes in figure.axes]
    assert labels == [["MAML", "A"], ["B"]]
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Headline: 3 seeds, 800 meta-steps",
        "Survey: 1 seed, short run of 400 meta-steps",
    ]
    assert "20 tasks a seed" in _words(figure) and "Short: fewer meta-steps than a verdict" in _words(figure)
    (shared,) = convergence.build(TABLES, variants).axes
    assert [text.get_text() for text in shared.get_legend().get_texts()][
        2
    ] == "B\n(1 seed, short run of 400\nmeta-steps)"


def test_adaptation_lines(made_up):
    figure = adaptation.build(TABLES, _summarised(made_up(diverged={"n_plus_1": {1: 300}})))
    lines = _lines(figure)
    assert sorted(lines) == ["steps/maml", "steps/n_plus_1"]
    steps = pd.read_csv(TABLES / "steps.csv").query("variant == 'n_plus_1'").groupby("inner_step")["accuracy"].mean()
    assert list(lines["steps/n_plus_1"].get_xdata()) == [0, 1, 2, 3, 4, 5]
    assert np.allclose(lines["steps/n_plus_1"].get_ydata(), steps)
    assert _bands(figure) == 2 and "20 meta-test tasks a seed" in _words(figure)


def test_accuracy_points_and_intervals(made_up):
    variants = _summarised(made_up(diverged={"n_plus_1": {1: 300}}))
    figure = accuracy.build(TABLES, variants)
    axes, lines = figure.axes[0], _lines(figure)
    table = pd.read_csv(TABLES / "accuracy.csv").set_index("variant")
    dots = {artist.get_gid(): artist.get_offsets() for artist in axes.collections if artist.get_gid()}
    assert {gid: len(points) for gid, points in dots.items()} == {"seeds/maml": 3, "seeds/n_plus_1": 2}
    for name in variants:
        assert lines[f"mean/{name}"].get_xdata()[0] == table.loc[name, "accuracy"]
    spans = sorted(
        float(np.ptp(segment[:, 0])) / 2
        for artist in axes.collections
        if type(artist).__name__ == "LineCollection"
        for segment in artist.get_segments()
    )
    assert np.allclose(spans, sorted([*table["ci95_tasks"], *table["ci95_seeds"]]))
    assert lines["reference/maml"].get_xdata()[0] == table.loc["maml", "accuracy"]
    assert 0 <= axes.get_xlim()[0] and axes.get_xlim()[1] <= 1


def test_every_seed_of_every_variant_diverged(made_up):
    variants = _summarised(made_up(seeds=(0,), diverged={"maml": {0: 100}, "n_plus_1": {0: 10}}))
    for module in OF_TABLES.values():
        module.draw(TABLES, paths.figures("quick"), variants)
    figure = accuracy.build(TABLES, variants)
    assert [text.get_text() for text in figure.axes[0].texts] == ["every seed diverged"] * 2
    # The second variant broke before its first row: its cross stands at the foot of the axes.
    broken = _lines(convergence.build(TABLES, variants))["diverged/n_plus_1/0"]
    assert list(broken.get_xdata()) == [10] and list(broken.get_ydata()) == [0]


def test_unknown_figure(made_up):
    with pytest.raises(ReportError, match="'nonsense'; expected one of: convergence"):
        figures.draw("nonsense", made_up().params)


def test_the_report_never_imports_torch():
    modules = ", ".join(
        ["megan.stages.summary", "megan.stages.claims", "megan.stages.report", *figures.MODULES.values()]
    )
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_summary_does_not_import_the_plotting():
    code = "import sys, megan.stages.summary, megan.report.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
