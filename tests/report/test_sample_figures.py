"""Figures of sampled images and of realism: what they draw, what their captions say, and what they say where there is nothing."""

import json
from xml.etree import ElementTree

import jobs
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from scipy import stats

from megan.config import paths
from megan.report import figures, grids
from megan.report.figures import conditioning_accuracy, conditioning_samples, examples, generators, realism
from megan.report.inputs import ReportError

TABLES, SAMPLES = paths.tables("quick"), paths.samples("quick")
DRAWN = [conditioning_samples, generators]
TASKS, DRAWS, WAYS = 4, 4, 5


def _lines(figure):
    return {line.get_gid(): line for axes in figure.axes for line in axes.get_lines() if line.get_gid()}


def _caption(figure):
    return " ".join(figure.get_supxlabel().split())


def _titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def _pictures(figure):
    return [np.asarray(axes.images[0].get_array()) if axes.images else None for axes in figure.axes]


def _made(study, others=(), **unlike):
    """Tables and samples; `others`: variants without fakes. Returns the styles."""
    params = study.write()
    jobs.run(params, "summary")
    lost = {name: set(study.diverged.get(name, {})) for name in study.variants}
    source, rows, images = np.random.default_rng(0), [], {}
    support = source.integers(0, 256, (TASKS, WAYS, 28, 28), dtype=np.uint8)
    query = source.integers(0, 256, (TASKS, 15, WAYS, 28, 28), dtype=np.uint8)
    for position, name in enumerate(name for name in study.variants if name not in others):
        seeds = [seed for seed in params.tier(name).seeds if seed not in lost[name]]
        rows += [
            (name, seed, 0.1 * (position + 1) + 0.01 * seed, 0.05, 0.9, 0.2 + 0.1 * position, 0.3, 0.8, 320)
            for seed in seeds
        ]
        if 0 in seeds:
            images[f"fakes/{name}"] = source.integers(0, 256, (TASKS, DRAWS, WAYS, 28, 28), dtype=np.uint8)
            images[f"support/{name}"], images[f"query/{name}"] = unlike.get(name, support), query
    rows += [("real", seed, 0.002, -0.001, 0.003, 0.25, np.nan, 0.7, 1200) for seed in study.seeds]
    rows.append(("of another study", 0, 9.0, 9.0, 9.0, 9.0, 9.0, 0.9, 1))
    SAMPLES.mkdir(parents=True)
    columns = ["variant", "seed", "kid", "kid_low", "kid_high", "distance", "pixels", "collapse", "images"]
    pd.DataFrame(rows, columns=columns).to_csv(SAMPLES / "realism.csv", index=False)
    images["examples"] = source.integers(0, 256, (2, 6, 28, 28), dtype=np.uint8)
    save_file(images, SAMPLES / "grids.safetensors")
    (SAMPLES / "record.json").write_text(
        json.dumps(
            {
                "seed": 0,
                "alphabets": ["Greek", "Old_Persian"],
                "judge_accuracy": {"validation_accuracy": 0.035, "classes": 285},
            }
        )
    )
    return params.styles, images


def test_mosaic_places_every_image():
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4, 1, 1) * np.ones((5, 6), np.uint8)
    picture = grids.mosaic(images)
    assert picture.shape == (3 * 7 - 2, 2 * (4 * 8 - 2) + 10)
    assert (picture[7:12, 40 + 16 : 40 + 22] == 255 - images[1, 1, 2]).all(), "ink is black"
    assert (picture[5:7] == picture[0, 6]).all() and (picture[:, 30:40] == picture[0, 6]).all(), "gaps"


@pytest.mark.parametrize("module", DRAWN)
def test_grids_of_the_same_tasks(made_up, module):
    variants, images = _made(made_up(variants=(*module.VARIANTS, "another")))
    figure = module.build(TABLES, SAMPLES, variants)
    pictures, titles = _pictures(figure), _titles(figure)
    first = module.VARIANTS[0]
    assert titles[0] == "Support images, meta-test tasks of seed 0" and np.array_equal(
        pictures[0], grids.mosaic(images[f"support/{first}"][:, None])
    )
    assert titles[1].startswith("Real") and np.array_equal(pictures[1], grids.mosaic(images[f"query/{first}"][:, :2]))
    assert len(titles) == 2 + len(module.VARIANTS)
    for position, name in enumerate(module.VARIANTS):
        assert np.array_equal(pictures[2 + position], grids.mosaic(images[f"fakes/{name}"][:, : grids.MOST_ROWS]))
        told = f"KID {0.1 * (position + 1) + 0.01:.3g} +/- 0.025 over 3 seeds, distance {0.2 + 0.1 * position:.3f}, likeness 0.800"
        assert titles[2 + position].startswith(variants[name].label) and told in titles[2 + position]
        assert f"{variants[name].label}: {told}" in _caption(figure)
    assert (
        "The paper's Fig." in _caption(figure)
        and "Real drawings judged against others: KID 0.002" in _caption(figure)
        and "Absent" not in _caption(figure)
    )


def test_generators_say_accuracies(made_up):
    variants, _ = _made(made_up(variants=generators.VARIANTS))
    accuracy = pd.read_csv(TABLES / "accuracy.csv").set_index("variant")["accuracy"]
    caption = _caption(generators.build(TABLES, SAMPLES, variants))
    for name in generators.VARIANTS:
        assert f"{variants[name].label} {accuracy[name]:.1%}" in caption


def test_one_seed_shows_the_interval_over_tasks(made_up):
    variants, _ = _made(made_up(variants=conditioning_samples.VARIANTS, seeds=(0,)))
    assert "KID 0.1 (0.05 to 0.9 over tasks)" in _titles(conditioning_samples.build(TABLES, SAMPLES, variants))[2]


@pytest.mark.parametrize("module", DRAWN)
def test_absent_variants_are_said(made_up, module):
    kept = module.VARIANTS[1:]
    variants, _ = _made(made_up(variants=kept))
    figure = module.build(TABLES, SAMPLES, variants)
    assert f"{module.VARIANTS[0]}: not in this study" in _titles(
        figure
    ) and f"Absent here: {module.VARIANTS[0]}." in _caption(figure)
    assert all(axes.images or axes.texts for axes in figure.axes), "an empty panel without words"


@pytest.mark.parametrize("module", DRAWN)
def test_without_any_of_its_variants(made_up, module):
    variants, _ = _made(made_up(variants=("another",)))
    figure = module.build(TABLES, SAMPLES, variants)
    assert "no variant of this figure" in figure.axes[0].texts[0].get_text() and "Absent here" in _caption(figure)


def test_diverged_seeds_have_no_images(made_up):
    one, every, _ = names = conditioning_samples.VARIANTS
    variants, _ = _made(made_up(variants=names, seeds=(0, 1), diverged={one: {0: 100}, every: {0: 100, 1: 200}}))
    figure = conditioning_samples.build(TABLES, SAMPLES, variants)
    titles = " | ".join(_titles(figure))
    assert "seed 0, shown here, diverged" in titles and "every seed diverged, so there is no fake to show" in titles
    assert "KID 0.11 (0.05 to 0.9 over tasks)" in _caption(figure), "the numbers of the seed that finished stay"
    assert f"{variants[every].label}: none" in _caption(figure)


def test_other_tasks_are_not_shown_beside(made_up):
    names = conditioning_samples.VARIANTS
    variants, _ = _made(made_up(variants=names), **{names[1]: np.zeros((TASKS, WAYS, 28, 28), np.uint8)})
    assert any(
        "its tasks are not those of the other rows" in title
        for title in _titles(conditioning_samples.build(TABLES, SAMPLES, variants))
    )


def test_no_fakes_at_all(made_up):
    names = conditioning_samples.VARIANTS
    variants, _ = _made(made_up(variants=names, seeds=(0,), diverged={name: {0: 10} for name in names}))
    figure = conditioning_samples.build(TABLES, SAMPLES, variants)
    assert len(figure.axes) == 3 and all("every seed diverged" in title for title in _titles(figure))
    assert "no variant of this figure" in realism.build(TABLES, SAMPLES, variants).axes[0].texts[0].get_text()


def test_conditioning_accuracy(made_up):
    variants, _ = _made(made_up(variants=conditioning_accuracy.VARIANTS))
    figure = conditioning_accuracy.build(TABLES, variants)
    assert list(_lines(figure)) == [f"validation/{name}" for name in conditioning_accuracy.VARIANTS]
    accuracy = pd.read_csv(TABLES / "accuracy.csv").set_index("variant")["accuracy"]
    assert all(
        f"{variants[name].label} {accuracy[name]:.1%}" in _caption(figure) for name in conditioning_accuracy.VARIANTS
    )


def test_examples(made_up):
    variants, images = _made(made_up())
    figure = examples.build(TABLES, SAMPLES, variants)
    assert [axes.get_ylabel() for axes in figure.axes] == ["Greek", "Old Persian"]
    row, again = (np.asarray(image.get_array()) for image in figure.axes[1].images)
    assert np.array_equal(row, grids.mosaic(images["examples"][1][None, None, :-1])) and np.array_equal(
        again, 255 - images["examples"][1, -1]
    )


def test_realism_points(made_up):
    names = ("a", "b", "c", "d", "e", "f")
    variants, _ = _made(made_up(variants=("maml", *names), smoke=("f",), diverged={"b": {1: 100}}), others=("maml",))
    figure = realism.build(TABLES, SAMPLES, variants)
    lines = _lines(figure)
    seeds = pd.read_csv(TABLES / "seeds.csv")
    for position, name in enumerate(names):
        mean = seeds.loc[seeds["variant"] == name, "accuracy"].mean()
        finished = {"b": [0, 2], "f": [0]}.get(name, [0, 1, 2])
        kid = 0.1 * (position + 1) + 0.01 * np.mean(finished)
        assert (
            lines[f"mean/accuracy/{name}"].get_xdata()[0],
            lines[f"mean/accuracy/{name}"].get_ydata()[0],
        ) == pytest.approx((kid, mean))
        assert lines[f"mean/distance/{name}"].get_ydata()[0] == pytest.approx(0.2 + 0.1 * position)
    assert len(lines["seeds/accuracy/b"].get_xdata()) == 2 and "seeds/accuracy/f" not in lines
    assert lines["real/kid"].get_xdata()[0] == pytest.approx(0.002) and not any(
        "another" in gid or "maml" in gid for gid in lines
    )
    means = seeds[seeds["variant"].isin(names[:5])].groupby("variant")["accuracy"].mean()
    rho = stats.spearmanr(-np.arange(5), means).statistic
    assert f"headline: {rho:+.2f} over 5 variants; survey: too few variants for a correlation (1)" in _caption(figure)
    assert len(figure.axes) == 4 and figure.axes[2].get_title(loc="left").startswith("Survey")


READING = [
    name
    for name, module in figures.MODULES.items()
    if module.rpartition(".")[2] in ("conditioning_samples", "generators", "examples", "realism")
]


@pytest.mark.parametrize("name", READING)
def test_files_are_the_same_twice_and_carry_their_words(made_up, name):
    study = made_up(variants=(*conditioning_samples.VARIANTS, *generators.VARIANTS), seeds=(0,))
    _made(study)
    files = [paths.figures("quick") / f"{name}.{suffix}" for suffix in ("png", "svg")]
    figures.draw(name, study.params)
    before = [path.read_bytes() for path in files]
    figures.draw(name, study.params)
    assert [path.read_bytes() for path in files] == before
    description = ElementTree.fromstring(before[1]).findtext(".//{http://purl.org/dc/elements/1.1/}description")
    assert "The paper" in description and "Ours" in description


@pytest.mark.parametrize("name", READING)
def test_missing_and_torn_samples(made_up, name):
    study = made_up(variants=(*conditioning_samples.VARIANTS, *generators.VARIANTS), seeds=(0,))
    _made(study)
    file = SAMPLES / ("realism.csv" if name == "realism" else "grids.safetensors")
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ReportError, match=rf"samples/{file.name} .*run `dvc repro`"):
        figures.draw(name, study.params)
    file.unlink()
    with pytest.raises(ReportError, match=rf"samples/{file.name} is missing; run `dvc repro`"):
        figures.draw(name, study.params)
