"""The files of stage `config`."""

from megan.stages import config

PARAMETERS = {
    "study": "text",
    "encoder": {"steps": 1000, "batch_size": 64, "learning_rate": 0.001, "seed": 0, "stem_stride": 2, "weights": "no"},
    "seeds": [0, 1],
}
TEXT = """study: text
encoder: {steps: 1000, batch_size: 64, learning_rate: 0.001, seed: 0, 
    stem_stride: 2, weights: no}
seeds: [0, 1]
"""  # noqa: W291


def test_equal_parameters_give_equal_bytes_on_every_machine():
    """With ruamel.yaml's C library the lines would break elsewhere, and each result would look out of date."""
    assert config._text(PARAMETERS) == TEXT
