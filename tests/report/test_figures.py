"""The figures: what is drawn, from matplotlib's own objects; the files; and the list of all of them."""

import json
import subprocess
import sys
from pathlib import Path

import jobs
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from megan.config import paths
from megan.report import figures
from megan.report import picture as pictures
from megan.report.figures import FIGURES, accuracy, adaptation, convergence, convergence_others
from megan.report.inputs import ReportError

TABLES = paths.tables("quick")
NAMES = [
    "convergence", "weighting", "outer_losses", "shared_layers", "baseline", "gan_losses", "conditioning_accuracy",
    "accuracy", "adaptation", "examples", "conditioning_samples", "generators", "plain_gan", "realism",
    "convergence_others",
]  # fmt: skip
# Those that read the tables alone; what reads samples has tests of its own.
OF_TABLES = [name for name, entry in FIGURES.items() if entry.reads == ("tables",)]


def _lines(picture):
    return {line.get_gid(): line for axes in picture.figure.axes for line in axes.get_lines() if line.get_gid()}


def _of_kind(picture, kind):
    return [artist for axes in picture.figure.axes for artist in axes.collections if type(artist).__name__ == kind]


def _bands(picture):
    return _of_kind(picture, "FillBetweenPolyCollection")


def _legend(picture):
    return [text.get_text() for text in picture.figure.legends[0].get_texts()]


def _words(picture):
    return f"{picture.title} {picture.caption}"


def _summarised(study):
    params = study.write()
    jobs.run(params, "summary")
    return params.styles


def test_the_list_has_every_figure_once_in_the_order_of_the_page():
    assert list(FIGURES) == NAMES and [entry.name for entry in FIGURES.values()] == NAMES


def test_every_module_of_a_figure_is_listed():
    """A module here has a row, or holds rows; and whatever a figure reads is a folder that `paths` knows."""
    modules = {path.stem for path in Path(figures.__file__).parent.glob("*.py")}
    assert modules - set(FIGURES) == {"__init__", "entry", "comparisons", "samples"}
    assert all(callable(getattr(paths, folder)) for entry in FIGURES.values() for folder in entry.reads)


@pytest.mark.parametrize("name", OF_TABLES)
def test_files_are_the_same_twice(made_up, name):
    study = made_up(diverged={"n_plus_1": {1: 300}})
    _summarised(study)
    out = paths.figures("quick")
    out.mkdir()
    files = [out / f"{name}.{suffix}" for suffix in ("png", "svg", "json")]
    figures.draw(name, study.params, out)
    before = [path.read_bytes() for path in files]
    assert before[0].startswith(b"\x89PNG") and b"<svg" in before[1]
    for path in files:
        path.unlink()
    figures.draw(name, study.params, out)
    assert [path.read_bytes() for path in files] == before
    assert sorted(out.iterdir()) == sorted(files)


def test_words_stand_beside_the_figure_and_not_in_it(made_up, tmp_path):
    study = made_up(variants=FIGURES["weighting"].variants)
    built = FIGURES["weighting"].build([TABLES], _summarised(study))
    figures.draw("weighting", study.params, tmp_path)
    words = json.loads((tmp_path / "weighting.json").read_text(encoding="utf-8"))
    assert words == {"title": built.title, "caption": built.caption, "alt": built.alt}
    assert words["title"].startswith("Weight and schedule of the fakes, study quick")
    assert words["caption"].startswith("The paper says of its Fig. 5") and "\n" not in words["caption"]
    assert words["alt"].startswith("Line chart") and words["alt"].count(". ") == 0
    assert not built.figure.get_suptitle() and not built.figure.texts


def test_pictures_have_no_version_and_no_date(made_up, tmp_path):
    study = made_up()
    _summarised(study)
    figures.draw("weighting", study.params, tmp_path)
    svg = (tmp_path / "weighting.svg").read_text(encoding="utf-8")
    assert "matplotlib v" not in svg.lower() and "<dc:date>" not in svg and "<dc:creator>" not in svg
    with Image.open(tmp_path / "weighting.png") as image:
        assert set(image.info) == {"dpi"}


@pytest.mark.parametrize(("darkest", "mode"), [(248, "P"), (232, "P"), (0, "RGB")])
def test_a_picture_has_a_palette_where_that_hardly_changes_it(tmp_path, darkest, mode):
    shown = np.random.default_rng(0).integers(darkest, 256, (110, 110, 3), dtype=np.uint8)  # up to 12,100 colours
    figure = Figure(figsize=(4, 4))
    figure.subplots().imshow(shown, interpolation="none")
    pictures.save(pictures.described(figure, "title", "caption", "alt"), tmp_path, "made")
    with Image.open(tmp_path / "made.png") as image:
        assert image.mode == mode
        paper, ink = image.convert("RGB").getpixel((2, 2)), image.convert("L").getextrema()[0]
    assert paper == (255, 255, 255) and ink < 16


@pytest.mark.parametrize("name", OF_TABLES)
def test_a_dollar_in_a_name_is_a_dollar(made_up, tmp_path, name):
    study = made_up(labels={"maml": "$x_{$", "n_plus_1": "$$"})
    _summarised(study)
    figures.draw(name, study.params, tmp_path)


@pytest.mark.parametrize("name", FIGURES)
def test_missing_tables(made_up, tmp_path, name):
    with pytest.raises(ReportError, match="missing; run `dvc repro`"):
        figures.draw(name, made_up().params, tmp_path)


@pytest.mark.parametrize("name", OF_TABLES)
def test_tables_without_a_variant(made_up, tmp_path, name):
    _summarised(made_up())
    with pytest.raises(ReportError, match="'later'"):
        figures.draw(name, made_up(variants=("maml", "n_plus_1", "later")).params, tmp_path)


def test_convergence_lines(made_up):
    variants = _summarised(made_up())
    picture = convergence.build(TABLES, variants)
    lines = _lines(picture)
    assert sorted(lines) == ["validation/maml", "validation/n_plus_1"]
    mean = pd.read_csv(TABLES / "curves_mean.csv").query("variant == 'maml' and split == 'validation'")
    steps, heights = lines["validation/maml"].get_data()
    assert list(steps) == mean["meta_step"].tolist()
    assert np.allclose(heights, mean["accuracy"], atol=1e-6)
    assert lines["validation/maml"].get_color() == variants["maml"].colour
    assert len(_bands(picture)) == 2
    assert picture.title == "Validation accuracy during meta-training, study quick (glyphs): 3 seeds, 800 meta-steps"
    assert "lowest to the highest seed" in picture.caption


def test_band_is_lowest_to_highest_seed(made_up):
    variants = _summarised(made_up())
    picture = convergence.build(TABLES, {"maml": variants["maml"]})
    (band,) = _bands(picture)
    corners = band.get_paths()[0].vertices
    last = pd.read_csv(TABLES / "curves.csv").query("variant == 'maml' and split == 'validation' and meta_step == 800")[
        "accuracy"
    ]
    at_end = corners[corners[:, 0] == 800][:, 1]
    assert (at_end.min(), at_end.max()) == (pytest.approx(last.min()), pytest.approx(last.max()))


@pytest.mark.parametrize("module", [convergence, adaptation])
def test_one_seed_has_no_band_and_says_so(made_up, module):
    picture = module.build(TABLES, _summarised(made_up(seeds=(0,))))
    assert not _bands(picture)
    assert "1 seed," in _words(picture) and "no band" in _words(picture)


def test_diverged_seed_is_marked_where_it_broke(made_up):
    variants = _summarised(made_up(diverged={"n_plus_1": {1: 310}}))
    picture = convergence.build(TABLES, variants)
    broken = _lines(picture)["diverged/n_plus_1/1"]
    assert broken.get_xdata()[-1] == 310 and broken.get_linestyle() == ":"
    own = pd.read_csv(TABLES / "curves.csv").query("variant == 'n_plus_1' and seed == 1 and split == 'validation'")
    assert np.allclose(broken.get_ydata()[:-1], own["accuracy"]) and broken.get_ydata()[-1] == broken.get_ydata()[-2]
    mean = pd.read_csv(TABLES / "curves_mean.csv").query("variant == 'n_plus_1' and split == 'validation'")["accuracy"]
    assert np.allclose(_lines(picture)["validation/n_plus_1"].get_ydata(), mean, atol=1e-6)
    assert any("seed 1 diverged" in text for text in _legend(picture))


def test_a_run_of_one_point_still_shows(made_up):
    variants = _summarised(made_up())
    curves = pd.read_csv(TABLES / "curves.csv")
    curves[(curves["variant"] == "maml") | (curves["meta_step"] == 800)].to_csv(TABLES / "curves.csv", index=False)
    lines = _lines(convergence.build(TABLES, variants))
    assert list(lines["validation/n_plus_1"].get_xdata()) == [800]
    assert lines["validation/n_plus_1"].get_marker() not in ("", "None")


def test_variants_of_one_colour_differ_in_marker(made_up):
    variants = _summarised(made_up())
    variants = {name: variant.model_copy(update={"colour": "#123456"}) for name, variant in variants.items()}
    for module, prefix in ((convergence, "validation"), (adaptation, "steps")):
        lines = _lines(module.build(TABLES, variants))
        assert lines[f"{prefix}/maml"].get_marker() != lines[f"{prefix}/n_plus_1"].get_marker()


def test_many_variants_get_a_panel_each(made_up):
    names = ("maml", *(f"v{number}" for number in range(9)))
    variants = _summarised(made_up(variants=names, seeds=(0,)))
    first, others = convergence.build(TABLES, variants), convergence_others.build(TABLES, variants)
    assert len(_lines(first)) == 6 and "convergence_others shows the other variants" in first.caption
    assert [axes.get_title(loc="left") for axes in others.figure.axes] == [name.upper() for name in names[6:]]
    assert [axes.get_lines()[0].get_gid() for axes in others.figure.axes] == ["reference/maml"] * 4
    assert len({axes.get_ylim() for axes in others.figure.axes}) == 1
    assert "The dashed grey line is MAML." in others.caption
    lines = _lines(others)
    assert lines["train/v5"].get_linewidth() < lines["validation/v5"].get_linewidth()


def test_no_panel_for_a_run_of_smoke_length(made_up):
    variants = _summarised(made_up(variants=("maml", "n_plus_1", "a", "b"), smoke=("a", "b")))
    first, others = convergence.build(TABLES, variants), convergence_others.build(TABLES, variants)
    assert sorted(_lines(first)) == ["validation/maml", "validation/n_plus_1"]
    assert not _lines(others) and others.alt.startswith(pictures.EMPTY)
    assert all(
        "Left out, because their runs only show that the code runs: A; B." in one.caption for one in (first, others)
    )


def test_what_differs_is_noted(made_up):
    variants = _summarised(made_up(variants=("maml", "a", "b"), smoke=("b",), smoke_steps=600))
    picture = accuracy.build(TABLES, variants)
    labels = [[label.get_text() for label in axes.get_yticklabels()] for axes in picture.figure.axes]
    assert labels == [["MAML", "A"], ["B"]]
    assert [axes.get_title(loc="left") for axes in picture.figure.axes] == [
        "Headline: 3 seeds, 800 meta-steps",
        "Survey: 1 seed, 600 meta-steps",
    ]
    assert "20 tasks per seed" in picture.title and "Compare variants within a tier only" in picture.caption


def test_a_tall_legend_fits(made_up):
    """Below the axes, whatever the number of lines: the figure grows."""
    names = ("maml", *(f"v{number}" for number in range(5)))
    labels = {name: f"{name}, with a name that needs two lines of the legend" for name in names}
    variants = _summarised(made_up(variants=names, labels=labels, diverged={"maml": {1: 300}}))
    picture = convergence.build(TABLES, variants)
    picture.figure.draw_without_rendering()
    legend, whole = picture.figure.legends[0].get_window_extent(), picture.figure.bbox
    assert len(_legend(picture)) == 7
    assert whole.x0 <= legend.x0 and legend.x1 <= whole.x1 and whole.y0 <= legend.y0 and legend.y1 <= whole.y1


def test_adaptation_lines(made_up):
    picture = adaptation.build(TABLES, _summarised(made_up(diverged={"n_plus_1": {1: 300}})))
    lines = _lines(picture)
    assert sorted(lines) == ["steps/maml", "steps/n_plus_1"]
    steps = pd.read_csv(TABLES / "steps.csv").query("variant == 'n_plus_1'").groupby("inner_step")["accuracy"].mean()
    assert list(lines["steps/n_plus_1"].get_xdata()) == [0, 1, 2, 3, 4, 5]
    assert np.allclose(lines["steps/n_plus_1"].get_ydata(), steps)
    assert len(_bands(picture)) == 2 and "20 meta-test tasks per seed" in picture.caption
    assert picture.figure.axes[0].get_ylabel() == "Meta-test accuracy"


def test_accuracy_points_and_intervals(made_up):
    variants = _summarised(made_up(diverged={"n_plus_1": {1: 300}}))
    picture = accuracy.build(TABLES, variants)
    axes, lines = picture.figure.axes[0], _lines(picture)
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
    assert axes.get_xlim()[0] >= 0 and axes.get_xlim()[1] <= 1


def test_every_seed_of_every_variant_diverged(made_up, tmp_path):
    variants = _summarised(made_up(seeds=(0,), diverged={"maml": {0: 100}, "n_plus_1": {0: 10}}))
    for name in OF_TABLES:
        pictures.save(FIGURES[name].build([TABLES], variants), tmp_path, name)
    picture = accuracy.build(TABLES, variants)
    assert [text.get_text() for text in picture.figure.axes[0].texts] == ["every seed diverged"] * 2
    # The second variant broke before its first row: its cross stands at the foot of the axes.
    broken = _lines(convergence.build(TABLES, variants))["diverged/n_plus_1/0"]
    assert list(broken.get_xdata()) == [10] and list(broken.get_ydata()) == [0]


def test_unknown_figure(made_up, tmp_path):
    with pytest.raises(ReportError, match="'nonsense'; expected one of: convergence"):
        figures.draw("nonsense", made_up().params, tmp_path)


def _exit_code(code):
    return subprocess.run([sys.executable, "-c", code], check=False).returncode


def test_the_report_never_imports_torch():
    modules = [f"megan.report.{path.stem}" for path in Path(pictures.__file__).parent.glob("[!_]*.py")]
    modules += [f"megan.report.figures.{path.stem}" for path in Path(figures.__file__).parent.glob("[!_]*.py")]
    modules += ["megan.stages.summary", "megan.stages.claims", "megan.stages.report"]
    assert _exit_code(f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)") == 0


def test_summary_does_not_import_the_plotting():
    code = "import sys, megan.stages.summary, megan.report.figures; sys.exit('matplotlib' in sys.modules)"
    assert _exit_code(code) == 0


def test_the_list_of_figures_is_light():
    heavy = "{'matplotlib', 'pandas', 'scipy', 'seaborn'}"
    assert _exit_code(f"import sys, megan.report.figures; sys.exit(bool({heavy} & set(sys.modules)))") == 0
