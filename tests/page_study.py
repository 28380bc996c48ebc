"""What stages before the report leave of samples and plain GAN, made up, for tests of the page."""

import json

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from megan.config import paths
from megan.config.params import Params

CURVES = ("weighting", "accuracy")  # figures that need nothing but tables
TASKS, DRAWS, WAYS = 4, 3, 5


def write_samples(params: Params, fakes: tuple[str, ...], moments: tuple[str, ...] = ()) -> None:
    """Samples of the variants `fakes`, also at `moments` (as in "@META_STEP.INNER_STEP"), and the plain GAN's table."""
    samples, gan = paths.samples(params.study), paths.gan(params.study)
    samples.mkdir(parents=True, exist_ok=True)
    gan.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    images = {"examples": np.zeros((1, 2, 28, 28), np.uint8)}
    for name in fakes:
        images[f"support/{name}"] = rng.integers(0, 256, (TASKS, WAYS, 28, 28), dtype=np.uint8)
        for moment in ("", *moments):
            images[f"fakes/{name}{moment}"] = rng.integers(0, 256, (TASKS, DRAWS, WAYS, 28, 28), dtype=np.uint8)
    save_file(images, samples / "grids.safetensors")
    columns = ["variant", "seed", "kid", "kid_low", "kid_high", "distance", "collapse"]
    rows = [(name, 0, 1.0, 0.5, 1.5, 0.4, 0.9) for name in fakes]
    pd.DataFrame(rows, columns=columns).to_csv(samples / "realism.csv", index=False)
    pd.DataFrame(columns=["variant", "seed", "task", "kid", "wasserstein"]).to_csv(samples / "tasks.csv", index=False)
    record = {
        "seed": 0 if fakes else None,
        "data": {"title": "glyphs", "ink": True},
        "alphabets": ["Greek"],
        "judge_accuracy": {"validation_accuracy": 0.5, "classes": 20},
    }
    (samples / "record.json").write_text(json.dumps(record))
    quality = [(k, 0, 0, 500, 0.1) for k in (100, 10)]
    pd.DataFrame(quality, columns=["images", "class", "seed", "updates", "kid"]).to_csv(
        gan / "quality.csv", index=False
    )
