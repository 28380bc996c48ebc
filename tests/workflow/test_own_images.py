"""From a folder of pictures to predictions and the page: every stage of study `own`, made short."""

import jobs
import pytest
import yaml
from pictures import write_folder
from safetensors.torch import load_file

from megan.config import params, paths

DOCUMENT = params.resolved(params.read())
VARIANTS = ("maml", "n_plus_1", "multi_task_0", "control_augmentation")


@pytest.mark.parametrize("channels", [3, 1])
def test_every_stage(tmp_path, monkeypatch, channels):
    monkeypatch.setenv("MEGAN_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "my_images", classes=9, images=16)
    study = DOCUMENT["studies"]["own"]
    study["data"].update(side=24, channels=channels)
    study["network"].update(filters=4)
    study["inner"].update(steps=2, test_steps=2)
    study["train"].update(meta_batch=2, validation_tasks=2, validate_every=2)
    for key in ("encoder", "judge"):
        study[key].update(steps=2, batch_size=4)
    study["gan"].update(images=[2], updates=2, batch_size=4)
    for tier in study["tiers"].values():
        tier.update(meta_steps=2, test_tasks=4)
    study["test"].update(sample_tasks=2, draws=2)
    variants = {name: DOCUMENT["variants"][name] for name in VARIANTS}
    paths.PARAMS.write_text(yaml.safe_dump({**DOCUMENT, "study": "own", "variants": variants}), encoding="utf-8")
    read = params.load()
    for stage in ("download", "prepare", "encoder", "judge", "gan"):
        jobs.run(read, stage)
    for name in VARIANTS:
        jobs.run(read, "train", name)
        jobs.run(read, "test", name)
    fakes = load_file(paths.tested("own", "n_plus_1") / "shown.safetensors")["fakes"]
    assert fakes.shape == (1, 2, 2, 15, 24, 24, 3)[: 7 if channels == 3 else 6] and fakes.float().std() > 1
    for stage in ("samples", "summary", "claims", "report"):
        jobs.run(read, stage)
    page = paths.report("own").read_text(encoding="utf-8")
    assert f"own images, 24x24 pixels in {'colour' if channels == 3 else 'grey'}" in page
    assert "Validation accuracy during meta-training, study own (own images)" in page
