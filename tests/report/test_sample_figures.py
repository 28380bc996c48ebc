"""Figures of sampled images and of realism: what they draw, what their captions say, also where there is nothing."""

import json

import jobs
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from scipy import stats

from megan.config import paths
from megan.report import figures, grids
from megan.report.figures import examples, realism, samples
from megan.report.inputs import ReportError

TABLES, SAMPLES = paths.tables("quick"), paths.samples("quick")
CONDITIONING, GENERATORS = samples.FAKES
ROWS = pytest.mark.parametrize("row", samples.FAKES, ids=lambda row: row.name)
TASKS, DRAWS, WAYS = 4, 4, 5


def _lines(picture):
    return {line.get_gid(): line for axes in picture.figure.axes for line in axes.get_lines() if line.get_gid()}


def _titles(picture):
    return [axes.get_title(loc="left") for axes in picture.figure.axes]


def _images(picture):
    return [np.asarray(axes.images[0].get_array()) if axes.images else None for axes in picture.figure.axes]


def _built(row, variants):
    return row.build([TABLES, SAMPLES], variants)


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
                "data": {"title": "glyphs", "ink": True},
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


def test_photographs_are_shown_as_they_are(made_up):
    variants, images = _made(made_up())
    photographs = {name: np.stack([values, values // 2, 255 - values], axis=-1) for name, values in images.items()}
    save_file(photographs, SAMPLES / "grids.safetensors")
    record = json.loads((SAMPLES / "record.json").read_text())
    record["data"] = {"title": "mini-ImageNet", "ink": False}
    (SAMPLES / "record.json").write_text(json.dumps(record))
    figure = examples.build(TABLES, SAMPLES, variants).figure
    row, again = (np.asarray(image.get_array()) for image in figure.axes[1].images)
    assert np.array_equal(again, photographs["examples"][1, -1])
    assert np.array_equal(row[:, :28], photographs["examples"][1, 0])


@ROWS
def test_grids_of_the_same_tasks(made_up, row):
    variants, images = _made(made_up(variants=(*row.variants, "another")))
    picture = _built(row, variants)
    grid, titles, first = _images(picture), _titles(picture), row.variants[0]
    assert titles[0] == "Support images, meta-test tasks of seed 0"
    assert np.array_equal(grid[0], grids.mosaic(images[f"support/{first}"][:, None]))
    assert titles[1].startswith("Real") and np.array_equal(grid[1], grids.mosaic(images[f"query/{first}"][:, :2]))
    assert len(titles) == 2 + len(row.variants)
    for position, name in enumerate(row.variants):
        assert np.array_equal(grid[2 + position], grids.mosaic(images[f"fakes/{name}"][:, : grids.MOST_ROWS]))
        kid, distance = f"{0.1 * (position + 1) + 0.01:.3g}", f"{0.2 + 0.1 * position:.3f}"
        told = f"KID {kid} +/- 0.025 over 3 seeds, distance {distance}, likeness 0.800"
        assert titles[2 + position] == f"Fakes: {variants[name].label}"
        assert f"{variants[name].label}: {told}" in picture.caption and variants[name].label in picture.alt
    assert picture.caption.startswith(row.paper) and "No result in this study" not in picture.caption
    assert "Real images compared with other real images: KID 0.002" in picture.caption


def test_a_gallery_of_a_snapshot(made_up):
    """Two variants have weights of meta-step 1,000: their images and numbers are of that moment, the third's not."""
    variants, images = _made(made_up(variants=CONDITIONING.variants))
    rows = []
    for name in CONDITIONING.variants[:2]:
        for step in (500, 1000):
            images[f"fakes/{name}@{step}"] = images[f"fakes/{name}"] // 2 + (step == 1000)
            rows += [(name, seed, step, step / 500 + seed, 0.1, 0.9, 0.5, 0.6) for seed in (0, 1, 2)]
    save_file(images, SAMPLES / "grids.safetensors")
    columns = ["variant", "seed", "meta_step", "kid", "kid_low", "kid_high", "distance", "collapse"]
    pd.DataFrame(rows, columns=columns).to_csv(SAMPLES / "snapshots.csv", index=False)
    picture = _built(CONDITIONING, variants)
    grid, titles = _images(picture), _titles(picture)
    for position, name in enumerate(CONDITIONING.variants):
        early = position < 2
        shown = images[f"fakes/{name}@1000" if early else f"fakes/{name}"]
        assert np.array_equal(grid[2 + position], grids.mosaic(shown[:, : grids.MOST_ROWS]))
        assert titles[2 + position].endswith("after 1,000 meta-steps") == early
        assert (f"{variants[name].label} after 1,000 meta-steps: KID 3 +/- 2.5 over 3" in picture.caption) == early


def test_generators_say_accuracies(made_up):
    variants, _ = _made(made_up(variants=GENERATORS.variants))
    accuracy = pd.read_csv(TABLES / "accuracy.csv").set_index("variant")["accuracy"]
    caption = _built(GENERATORS, variants).caption
    for name in GENERATORS.variants:
        assert f"{variants[name].label} {accuracy[name]:.1%}" in caption


def test_one_seed_shows_the_interval_over_tasks(made_up):
    variants, _ = _made(made_up(variants=CONDITIONING.variants, seeds=(0,)))
    assert "KID 0.1 (0.05 to 0.9 over tasks)" in _built(CONDITIONING, variants).caption


@ROWS
def test_absent_variants_are_said(made_up, row):
    variants, _ = _made(made_up(variants=row.variants[1:]))
    picture, missing = _built(row, variants), row.variants[0]
    assert f"{missing}: no result in this study" in _titles(picture)
    assert f"No result in this study: {missing}." in picture.caption
    assert all(axes.images or axes.texts for axes in picture.figure.axes), "an empty panel without words"


@ROWS
def test_without_any_of_its_variants(made_up, row):
    variants, _ = _made(made_up(variants=("another",)))
    picture = _built(row, variants)
    assert "no variant of this figure" in picture.figure.axes[0].texts[0].get_text()
    assert "No result in this study" in picture.caption


def test_diverged_seeds_have_no_images(made_up):
    one, every, _ = names = CONDITIONING.variants
    variants, _ = _made(made_up(variants=names, seeds=(0, 1), diverged={one: {0: 100}, every: {0: 100, 1: 200}}))
    picture = _built(CONDITIONING, variants)
    titles = " | ".join(_titles(picture))
    assert "seed 0, shown here, diverged" in titles and "every seed diverged, so there are no fakes to show" in titles
    assert "KID 0.11 (0.05 to 0.9 over tasks)" in picture.caption, "the numbers of the seed that finished stay"
    assert f"{variants[every].label}: none" in picture.caption


def test_other_tasks_are_not_shown_beside(made_up):
    names = CONDITIONING.variants
    variants, _ = _made(made_up(variants=names), **{names[1]: np.zeros((TASKS, WAYS, 28, 28), np.uint8)})
    titles = _titles(_built(CONDITIONING, variants))
    assert [title for title in titles if "its tasks differ from those of the other rows" in title] == [titles[3]]


def test_no_fakes_at_all(made_up):
    names = CONDITIONING.variants
    variants, _ = _made(made_up(variants=names, seeds=(0,), diverged={name: {0: 10} for name in names}))
    picture = _built(CONDITIONING, variants)
    assert len(picture.figure.axes) == 3 and all("every seed diverged" in title for title in _titles(picture))
    empty = realism.build(TABLES, SAMPLES, variants).figure
    assert "no variant of this figure" in empty.axes[0].texts[0].get_text()


def test_examples(made_up):
    variants, images = _made(made_up())
    figure = examples.build(TABLES, SAMPLES, variants).figure
    assert [axes.get_ylabel() for axes in figure.axes] == ["Greek", "Old Persian"]
    row, again = (np.asarray(image.get_array()) for image in figure.axes[1].images)
    assert np.array_equal(row, grids.mosaic(images["examples"][1][None, None, :-1])) and np.array_equal(
        again, 255 - images["examples"][1, -1]
    )


def test_realism_points(made_up):
    names = ("a", "b", "c", "d", "e", "f")
    variants, _ = _made(
        made_up(variants=("maml", *names), smoke=("f",), smoke_steps=600, diverged={"b": {1: 100}}), others=("maml",)
    )
    picture = realism.build(TABLES, SAMPLES, variants)
    lines = _lines(picture)
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
    assert f"headline: {rho:+.2f} over 5 variants; survey: too few variants for a correlation (1)" in picture.caption
    assert len(picture.figure.axes) == 4 and _titles(picture)[2].startswith("Survey")


READING = [name for name, entry in figures.FIGURES.items() if "samples" in entry.reads]
MADE = (*CONDITIONING.variants, *GENERATORS.variants)


def test_four_figures_read_samples():
    assert READING == ["examples", "conditioning_samples", "generators", "realism"]


@pytest.mark.parametrize("name", READING)
def test_files_are_the_same_twice_and_carry_their_words(made_up, tmp_path, name):
    study = made_up(variants=MADE, seeds=(0,))
    _made(study)
    files = [tmp_path / f"{name}.{suffix}" for suffix in ("png", "svg", "json")]
    figures.draw(name, study.params, tmp_path)
    before = [path.read_bytes() for path in files]
    figures.draw(name, study.params, tmp_path)
    assert [path.read_bytes() for path in files] == before
    words = json.loads(before[2])
    assert "The paper" in words["caption"] and ("Ours" in words["caption"] or "our figure" in words["caption"])


@pytest.mark.parametrize("name", READING)
def test_missing_and_torn_samples(made_up, tmp_path, name):
    study = made_up(variants=MADE, seeds=(0,))
    _made(study)
    file = SAMPLES / ("realism.csv" if name == "realism" else "grids.safetensors")
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ReportError, match=rf"samples/{file.name} .*run `dvc repro`"):
        figures.draw(name, study.params, tmp_path)
    file.unlink()
    with pytest.raises(ReportError, match=rf"samples/{file.name} is missing; run `dvc repro`"):
        figures.draw(name, study.params, tmp_path)
