"""The power analysis: against simulation, and docs/power.md against the record that it is made from."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from megan.config import params as parameters
from megan.report.claims import power

ROOT = Path(__file__).parents[2]
RULES = parameters.load(ROOT / "params.yaml").claims
RECORD = ROOT / "results" / "record" / "omniglot_2500"


def test_the_document_has_the_tables():
    text = (ROOT / "docs" / "power.md").read_text(encoding="utf-8")
    for rows in (power.table(RECORD, RULES), power.pilot(RULES)):
        assert "\n".join(rows) in text, "run: python -m tools.power"


def test_the_spread_of_the_headline_is_that_of_the_record():
    spread = power.measured(RECORD, RULES)[0]
    # Eight differences of the table of seeds, in points; 95 % half-width 0.407 = 2.365 SD / sqrt(8).
    assert spread.claims == ("1",) and spread.size == pytest.approx(0.00407 * np.sqrt(8) / 2.3646, abs=2e-5)


@pytest.mark.parametrize(("effect", "spread", "level", "seeds"), [(1.0, 1.0, 0.05, 8), (0.5, 1.0, 0.025, 34)])
def test_seeds_of_tables_of_power(effect, spread, level, seeds):
    """A one-sided t test at 5 % needs 8 for one standard deviation; at 2.5 % 34 for a half (Cohen 1988)."""
    assert power.seeds_for(effect, spread, level, 0.8) == seeds
    assert power.detectable(spread, seeds, level, 0.8) <= effect < power.detectable(spread, seeds - 1, level, 0.8)


def test_power_by_simulation():
    draws = np.random.default_rng(0).standard_normal((20_000, 16))
    p = stats.ttest_1samp(draws + 0.7, 0, axis=1, alternative="greater").pvalue
    assert power.power(0.7, 1.0, 16, 0.0125) == pytest.approx(np.mean(p < 0.0125), abs=0.01)
    above = stats.ttest_1samp(draws, -0.9, axis=1, alternative="greater").pvalue
    below = stats.ttest_1samp(draws, 0.9, axis=1, alternative="less").pvalue
    equal = np.mean(np.maximum(above, below) < 0.0125)
    assert power.power_of_equality(0.9, 1.0, 16, 0.0125) == pytest.approx(equal, abs=0.01)


def test_a_hopeless_effect_has_no_number_of_seeds():
    assert power.seeds_for(0.001, 1.0, 0.025, 0.8) is None
