"""Fig. 7 from made-up results: its rows, the numbers of its caption, and what it says of diverged GANs."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from megan.config import paths
from megan.data.dataset import load
from megan.report import figures
from megan.report.figures import plain_gan
from megan.report.inputs import ReportError

KID = {25: 0.125, 5: 0.5, 1: 2.25}


def write(dataset="glyphs", seeds=(0, 1), lost=()):
    """A finished stage of three classes; `lost` are (K, seed, class)."""
    folder = paths.gan("quick")
    folder.mkdir(parents=True)
    rows = []
    for count, kid in KID.items():
        for seed in seeds:
            for label in range(3):
                shift = 0.01 * (label - 1)
                made = (
                    [np.nan] * 5 if (count, seed, label) in lost else [kid + shift, kid - 0.05, kid + 0.05, 0.75, 0.3]
                )
                rows.append([count, label, seed, 7 if np.isnan(made[0]) else 500, *made, 0.0625, 0.5, 0.4])
    columns = ["images", "class", "seed", "updates", *plain_gan.NUMBERS]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "quality.csv", index=False)
    rng = np.random.default_rng(0)
    names = ["training", *(f"K{count}" for count in KID)]
    save_file(
        {name: rng.integers(0, 256, (len(seeds), 3, 4, 28, 28), dtype=np.uint8) for name in names},
        folder / "samples.safetensors",
    )
    record = {"study": "quick", "dataset": dataset, "title": load(dataset).title,
              "classes": ["Alef", "Bet", "Gimel"], "seeds": list(seeds),
              "images_of": "class", "parameters": {"gan": {"updates": 500}}, "judge_accuracy": 0.97}  # fmt: skip
    (folder / "record.json").write_text(json.dumps(record))
    return folder


def drawn(folder):
    return plain_gan.build(folder, {})


def words(picture):
    return f"{picture.title} {picture.caption}"


def test_a_row_for_each_k_and_a_column_for_each_class(made_up):
    figure = drawn(write()).figure
    labels = [axes.get_ylabel().split("\n")[0] for axes in figure.axes]
    assert labels == ["Real, trained on", "K = 25", "K = 5", "K = 1"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["Alef", "Bet", "Gimel"]
    pictures = [axes.get_images()[0].get_array() for axes in figure.axes]
    assert {picture.shape for picture in pictures} == {(2 * 28 + 2, 6 * 28 + 10)}, "two samples of a class side by side"
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_the_picture_is_of_the_first_seed(made_up):
    folder = write()
    images = load_file(folder / "samples.safetensors")["K5"]
    shown = drawn(folder).figure.axes[2].get_images()[0].get_array()
    assert np.array_equal(shown[:28, 60:88], 255 - images[0, 1, 0]), "columns 2 and 3 are class 1"
    assert np.array_equal(shown[:28, 90:118], 255 - images[0, 1, 1])
    assert np.array_equal(shown[30:58, :28], 255 - images[0, 0, 2]), "row 1 goes on with the samples"


def test_mixed_classes_fill_a_row_of_ten(made_up):
    """One GAN of each K, with five samples: they fill the row from the left, and the rest stays white."""
    folder = write()
    table = pd.read_csv(folder / "quality.csv")
    table[table["class"] == 0].to_csv(folder / "quality.csv", index=False)
    images = {name: np.random.default_rng(1).integers(0, 256, (2, 1, 13, 28, 28), dtype=np.uint8)
              for name in ("training", "K25", "K5", "K1")}  # fmt: skip
    save_file(images, folder / "samples.safetensors")
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps(record | {"images_of": "all", "classes": ["all classes"]}))
    picture = drawn(folder)
    shown = picture.figure.axes[2].get_images()[0].get_array()
    assert shown.shape == (2 * 28 + 2, 10 * 28 + 9 * 2) and not picture.figure.axes[0].texts
    for place in range(13):
        top, left = 30 * (place // 10), 30 * (place % 10)
        assert np.array_equal(shown[top : top + 28, left : left + 28], 255 - images["K5"][0, 0, place])
    assert (shown[30:58, 90:118] == 255).all()
    told = words(picture)
    assert "trained on K images of mixed classes" in told and "means over seeds:" in told


def test_the_caption_has_the_tables_numbers(made_up):
    told = words(drawn(write()))
    numbers = ["K = 25: KID 0.12 ", "K = 5: KID 0.5 ", "K = 1: KID 2.2 ", "likeness 0.75", "KID 0.062", "97.0%"]
    numbers += ["nearest 0.30 (held-out 0.40)", "over 2 seeds", "500 updates", "study quick", "2 seeds"]
    assert not [text for text in numbers if text not in told]
    assert "diverged" not in told


def test_glyphs_are_said_to_be_no_fashion_mnist(made_up):
    assert "Our figure does not use Fashion-MNIST but the glyphs" in words(drawn(write()))


def test_fashion_mnist_needs_no_excuse(made_up):
    told = words(drawn(write("fashion_mnist", seeds=(3,))))
    assert "does not use" not in told and "(Fashion-MNIST)" in told and "1 seed," in told
    assert "K = 5: KID 0.5 (0.49 to 0.51 over classes)" in told


def test_diverged_gans_are_counted_and_left_out(made_up):
    picture = drawn(write(lost={(5, 0, 0), *((1, seed, label) for seed in (0, 1) for label in range(3))}))
    told, labels = words(picture), [axes.get_ylabel() for axes in picture.figure.axes]
    assert "1 of 6 diverged" in labels[2] and "K = 5: KID 0.5" in told and "1 of 6 diverged" in told
    assert "K = 1: every GAN diverged" in told and "no KID" in labels[3]
    assert "nan" not in told


def test_files(made_up, tmp_path):
    study = made_up()
    write()
    figures.draw("plain_gan", study.params, tmp_path)
    files = [tmp_path / f"plain_gan.{suffix}" for suffix in ("png", "svg", "json")]
    before = [path.read_bytes() for path in files]
    figures.draw("plain_gan", study.params, tmp_path)
    assert [path.read_bytes() for path in files] == before


@pytest.mark.parametrize("name", ["quality.csv", "samples.safetensors", "record.json"])
def test_what_is_missing_or_torn_is_named(made_up, name):
    path = write() / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ReportError, match=name):
        drawn(path.parent)
    path.unlink()
    with pytest.raises(ReportError, match=f"{name} is missing"):
        drawn(path.parent)


def test_a_k_without_images(made_up):
    folder = write()
    rng = np.zeros((2, 3, 4, 28, 28), np.uint8)
    save_file({"training": rng, "K25": rng, "K5": rng}, folder / "samples.safetensors")
    with pytest.raises(ReportError, match="no 'K1'"):
        drawn(folder)


def test_a_synthetic_character_is_named_by_its_letter(made_up):
    folder = write()
    record = json.loads((folder / "record.json").read_text())
    record["classes"] = ["Latin U+0051", "Bet", "Phonetic U+10A0"]
    (folder / "record.json").write_text(json.dumps(record))
    assert [text.get_text() for text in drawn(folder).figure.axes[0].texts] == ["Latin Q", "Bet", "Phonetic\nU+10A0"]
