"""A network that guesses is told from one that has learnt a little."""

import math

import pytest

from megan.models import learnt


def by_hand(right, drawings, classes):
    """Probability of `right` hits or more by guessing, term by term."""
    chance = 1 / classes
    return math.fsum(
        math.comb(drawings, hits) * chance**hits * (1 - chance) ** (drawings - hits)
        for hits in range(right, drawings + 1)
    )


@pytest.mark.parametrize(("drawings", "classes"), [(16, 4), (40, 10), (300, 3), (200, 50)])
def test_the_rule_is_a_binomial_tail(drawings, classes):
    answers = []
    for right in range(drawings + 1):
        metrics = {"validation_accuracy": right / drawings, "validation_drawings": drawings, "classes": classes}
        answers.append(learnt.has_learnt(metrics))
        assert answers[-1] == (by_hand(right, drawings, classes) < learnt.DOUBT), right
    assert answers == sorted(answers) and answers[-1] and not answers[round(drawings / classes)]


def test_a_short_run_that_learnt_something_passes_and_weights_from_elsewhere_are_not_asked():
    # The encoder of study `quick` after 60 steps.
    assert learnt.has_learnt({"validation_accuracy": 38 / 1140, "validation_drawings": 1140, "classes": 285})
    assert learnt.has_learnt({"validation_accuracy": None, "validation_drawings": 0, "classes": 1000})


def test_the_words_have_both_shares():
    told = learnt.described({"validation_accuracy": 0.004, "validation_drawings": 1000, "classes": 250})
    assert "0.40%" in told and "1,000" in told and "250 classes" in told and "guessing (0.40%)" in told
