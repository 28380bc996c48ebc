"""Fig. 5, 6 and 10, and accuracy against shared layers: what they draw and what their captions say."""

from xml.etree import ElementTree

import jobs
import numpy as np
import pandas as pd
import pytest

from megan.config import paths
from megan.report import figures
from megan.report.figures import gan_losses, outer_losses, shared_layers, weighting
from megan.report.statistics import paired_difference

TABLES = paths.tables("quick")
COMPARED = [weighting, outer_losses, gan_losses]


def _lines(figure):
    return {line.get_gid(): line for axes in figure.axes for line in axes.get_lines() if line.get_gid()}


def _caption(figure):
    return " ".join(figure.get_supxlabel().split())


def _summarised(study):
    jobs.run(study.write(), "summary")
    return study.params.styles


def _difference(variant, reference):
    found = paired_difference(
        *(pd.read_csv(paths.tested("quick", name) / "tasks.csv") for name in (variant, reference))
    )
    return f"({100 * found.difference:+.1f} +/- {100 * found.ci95_seeds:.1f} points)"


@pytest.mark.parametrize("module", COMPARED)
def test_curves_of_the_named_variants_alone(made_up, module):
    variants = _summarised(made_up(variants=(*module.VARIANTS, "another")))
    figure = module.build(TABLES, variants)
    lines = _lines(figure)
    assert list(lines) == [f"validation/{name}" for name in module.VARIANTS]
    means = pd.read_csv(TABLES / "curves_mean.csv").query("split == 'validation'")
    for name in module.VARIANTS:
        own = means[means["variant"] == name]
        assert np.allclose(lines[f"validation/{name}"].get_ydata(), own["accuracy"], atol=1e-6)
        assert lines[f"validation/{name}"].get_color() == variants[name].colour
    caption, reference = _caption(figure), module.VARIANTS[0]
    accuracy = pd.read_csv(TABLES / "accuracy.csv").set_index("variant")["accuracy"]
    assert f"{variants[reference].label} {accuracy[reference]:.1%};" in caption
    for name in module.VARIANTS[1:]:
        assert f"{variants[name].label} {accuracy[name]:.1%} {_difference(name, reference)}" in caption
    assert "The paper's Fig." in caption and "Absent" not in caption


@pytest.mark.parametrize("module", [*COMPARED, shared_layers])
def test_absent_variants_are_said(made_up, module):
    kept = module.VARIANTS[1:-1]
    figure = module.build(TABLES, _summarised(made_up(variants=kept)))
    wanted = (shared_layers.REFERENCE, *module.VARIANTS) if module is shared_layers else module.VARIANTS
    missing = [name for name in wanted if name not in kept]
    assert f"Absent here: {', '.join(missing)}." in _caption(figure)
    assert not any(gid.endswith(f"/{name}") for gid in _lines(figure) for name in missing)


@pytest.mark.parametrize("module", [*COMPARED, shared_layers])
def test_without_any_of_its_variants(made_up, module):
    figure = module.build(TABLES, _summarised(made_up(variants=("another",))))
    assert "no variant of this figure" in figure.axes[0].texts[0].get_text() and "Absent here" in _caption(figure)


@pytest.mark.parametrize("module", COMPARED)
def test_diverged_seed(made_up, module):
    name = module.VARIANTS[1]
    variants = _summarised(made_up(variants=module.VARIANTS, diverged={name: {1: 300}}))
    figure = module.build(TABLES, variants)
    assert _lines(figure)[f"diverged/{name}/1"].get_xdata()[-1] == 300
    assert _difference(name, module.VARIANTS[0]) in _caption(figure)
    assert any("seed 1 diverged" in text.get_text() for text in figure.axes[0].get_legend().get_texts())


def test_every_seed_diverged(made_up):
    names = (shared_layers.REFERENCE, *shared_layers.VARIANTS)
    variants = _summarised(
        made_up(variants=names, seeds=(0,), diverged={name: {0: 100} for name in ("multi_task_1", "maml_short")})
    )
    figure = shared_layers.build(TABLES, variants)
    assert [text.get_text() for text in figure.axes[0].texts] == ["every seed\ndiverged"]
    assert "MULTI_TASK_1: every seed diverged" in _caption(figure) and "points" not in _caption(figure)


def test_a_shorter_run_is_marked_and_not_compared(made_up):
    variants = _summarised(made_up(variants=weighting.VARIANTS, smoke=("n_plus_1_equal",)))
    figure = weighting.build(TABLES, variants)
    assert "(of another length); N_PLUS_1_WEIGHTED" in _caption(figure) and "Short: fewer meta-steps" in _caption(
        figure
    )
    assert any("short run of 400" in text.get_text() for text in figure.axes[0].get_legend().get_texts())


def test_shared_layers(made_up):
    names = (shared_layers.REFERENCE, *shared_layers.VARIANTS)
    variants = _summarised(made_up(variants=names, diverged={"multi_task_2": {0: 100}}))
    figure = shared_layers.build(TABLES, variants)
    axes, lines = figure.axes[0], _lines(figure)
    table = pd.read_csv(TABLES / "accuracy.csv").set_index("variant")
    for shared, name in enumerate(shared_layers.VARIANTS):
        assert (lines[f"mean/{name}"].get_xdata()[0], lines[f"mean/{name}"].get_ydata()[0]) == (
            shared,
            table.loc[name, "accuracy"],
        )
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


def test_files_carry_title_and_caption(made_up):
    study = made_up(variants=weighting.VARIANTS)
    _summarised(study)
    figures.draw("weighting", study.params)
    root = ElementTree.parse(paths.figures("quick") / "weighting.svg").getroot()
    words = {key: root.findtext(f".//{{http://purl.org/dc/elements/1.1/}}{key}") for key in ("title", "description")}
    assert words["title"].startswith("Weight and schedule of the fakes, study quick")
    assert words["description"].startswith("The paper's Fig. 5") and "\n" not in words["description"]
