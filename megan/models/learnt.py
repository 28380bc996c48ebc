"""Whether a pre-trained network has learnt anything. Results that use one that has not would only show chance.

It has, if guessing would classify as many held-out images correctly with a probability below `DOUBT`.
"""

from typing import Any

DOUBT = 0.001


def has_learnt(metrics: dict[str, Any]) -> bool:
    """Whether the accuracy on held-out images is clearly above that of guessing (one-sided binomial test).

    **Arguments** `metrics` of stages `encoder` and `judge`: `validation_accuracy` (0 to 1), `validation_drawings`,
    `classes`. Without an accuracy (weights that were trained elsewhere) the answer is yes.
    """
    from scipy.stats import binom  # slow to import

    if metrics["validation_accuracy"] is None:
        return True
    drawings = metrics["validation_drawings"]
    right = round(metrics["validation_accuracy"] * drawings)
    return bool(binom.sf(right - 1, drawings, 1 / metrics["classes"]) < DOUBT)


def described(metrics: dict[str, Any]) -> str:
    """The accuracy, and that of guessing, as text."""
    return (
        f"recognises {metrics['validation_accuracy']:.2%} of {metrics['validation_drawings']:,} held-out images of"
        f" {metrics['classes']:,} classes, which is not clearly more than guessing ({1 / metrics['classes']:.2%})"
    )
