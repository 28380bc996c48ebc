"""`megan.FewShotClassifier` has scikit-learn's manners: its own checks, parameters, pickling, cross-validation."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_methods_subset_invariance, parametrize_with_checks
from tiny import some_task

import megan
from megan import FewShotClassifier
from megan.config import paths
from megan.use.classifier import ClassifierError
from megan.use.trained import CheckpointError

ROOT = Path(__file__).parents[2]
SMALL, COLOUR = paths.trained("own", "n_plus_1"), (tiny.COLOUR_SIDE, tiny.COLOUR_SIDE, 3)
N_PLUS_1 = paths.trained("quick", "n_plus_1")


class OnFeatures(FewShotClassifier):
    """Rows of any numbers as images, since scikit-learn's checks know no images. All else is the class itself."""

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        rows = 1 / (1 + np.exp(-values.reshape(len(values), -1).astype(float)))
        return np.resize(rows.T, (np.prod(COLOUR), len(rows))).T.reshape(-1, *COLOUR)


# Batch normalisation uses all images of the call, as in meta-testing. With `statistics="support"` the first holds, and
# is run below; the second never does to scikit-learn's 1e-9, in single precision: `test_order_of_the_images` stands in
# its place. Of the others `check_array_api_input` skips itself, since arrays of other libraries are not taken. That
# `poor_score` is true leaves out the accuracy on points of a plane, which are no images.
OF_THE_BATCH = {
    "check_methods_subset_invariance": "batch normalisation uses the other images of the call, as in meta-testing",
    "check_methods_sample_order_invariance": "sums in single precision round differently in another order",
}


@parametrize_with_checks([OnFeatures(SMALL)], expected_failed_checks=lambda _: OF_THE_BATCH)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")  # of a check's own data
def test_scikit_learn(studies, estimator, check):
    check(estimator)


def test_scikit_learn_on_each_image_alone(studies):
    check_methods_subset_invariance("OnFeatures", OnFeatures(SMALL, statistics="support"))


@pytest.mark.parametrize("statistics", ["queries", "support"])
def test_order_of_the_images(study, statistics):
    classifier, queries = tiny.fitted(study, statistics=statistics)
    order = np.random.default_rng(0).permutation(len(queries))
    assert classifier.predict_proba(queries[order]) == pytest.approx(classifier.predict_proba(queries)[order], abs=1e-5)


def test_parameters(study):
    classifier = FewShotClassifier.from_checkpoint(N_PLUS_1, seed=3, random_state=5)
    assert classifier.get_params() == {
        "checkpoint": N_PLUS_1,
        "variant": None,
        "seed": 3,
        "statistics": "queries",
        "ink": "auto",
        "random_state": 5,
    }
    support, labels, queries, _ = some_task(study)
    classifier.fit(support, labels).set_params(checkpoint=paths.trained("quick", "maml")).fit(support, labels)
    assert classifier.trained_.variant == "maml" and classifier.trained_.seed == 3
    again = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(again.predict_proba(queries), classifier.predict_proba(queries))
    assert len(cross_val_score(clone(classifier), support, labels, cv=2)) == 2
    for wrong in ({"statistics": "none"}, {"ink": "red"}, {"checkpoint": None}):
        with pytest.raises(ClassifierError, match=f"{next(iter(wrong))} (=|is) .*expected"):
            FewShotClassifier(**{"checkpoint": N_PLUS_1} | wrong).fit(support, labels)
    with pytest.raises(NotFittedError):
        FewShotClassifier.from_checkpoint(N_PLUS_1).predict(queries)
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        FewShotClassifier.from_checkpoint(".")


def test_importing_the_package_stays_light():
    assert "FewShotClassifier" in dir(megan) and not hasattr(megan, "NoSuchName")
    program = "import sys, megan.config.params; sys.exit(any(name in sys.modules for name in ('torch', 'sklearn')))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60)
    assert done.returncode == 0
