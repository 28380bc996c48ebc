"""`FewShotClassifier`: a meta-trained variant with the interface of scikit-learn. How to use it: docs/classifier.md."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_array, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data
from torch import Tensor

from megan.data.episodes import Episodes
from megan.errors import MeganError
from megan.meta.adapt import adapt
from megan.meta.gradient import per_task
from megan.models import encoder
from megan.ops import precision, streams
from megan.use import images, trained
from megan.use.images import Format
from megan.use.trained import Trained

Images = ArrayLike | Sequence[str | os.PathLike[str]]

MOST_IMAGES = 1024  # in all batches at a time, if each classified image has a batch with the whole support
MOST_STREAMS = 2**31 - 1


class ClassifierError(MeganError, ValueError):
    """The classes, labels or options given cannot be used; the message says what is expected."""


class FewShotClassifier(ClassifierMixin, BaseEstimator):
    """Learns new classes from a few images of each, as a variant does in meta-testing (sections 1.2, 2.2, 4.2).

    **Arguments** `checkpoint`: the folder of a trained variant, `results/<study>/train/<variant>`, or a record with
    weights, `results/record/<study>`; `variant`: which one, for a record that holds several; `seed`: which one, else
    that with the best accuracy on validation tasks; `statistics`: the images whose statistics batch normalisation
    uses for an image that is classified: `queries`, all images of the call, as in meta-testing, or `support`, the
    images of `fit` and itself, so that its prediction does not depend on the other images of the call; `ink`: the
    content of image files: `dark` strokes on light paper, which are inverted, or `bright` ones; `auto`: that of the
    data set of the checkpoint, `dark` for handwriting and `bright` for photographs. Arrays are never inverted.
    `random_state`: number of the stream of the noise that fakes are made from; N is the stream of task N of the
    meta-test.

    **Attributes**, after `fit`: `classes_` [classes], sorted; `n_features_in_`, values in an image; `trained_`, the
    variant; `weights_`, the adapted weights, [1, ...] each; `support_` [1, images, side, side, channels], by class;
    `task_`: these as a task.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str] | None = None,
        variant: str | None = None,
        seed: int | None = None,
        statistics: Literal["queries", "support"] = "queries",
        ink: Literal["auto", "dark", "bright"] = "auto",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.checkpoint = checkpoint
        self.variant = variant
        self.seed = seed
        self.statistics = statistics
        self.ink = ink
        self.random_state = random_state

    @classmethod
    def from_checkpoint(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """A classifier of the trained variant in the folder `path`, with the other `options` of the class.

        It is loaded at once, so this, and not `fit`, **raises** what `megan.use.trained.load` raises.
        """
        classifier = cls(checkpoint=path, **options)
        classifier._load()
        return classifier

    def fit(self, X: Images, y: ArrayLike) -> Self:
        """Adapt the meta-trained weights to the classes in `y`: all inner steps of a meta-test, fakes included.

        **Arguments** `X`: paths of image files; or an array [images, height, width], [images, height, width, 1 or 3]
        or [images, side * side * channels] of whole numbers from 0 to 255 or floating ones from 0 to 1. Images of
        another size or number of channels are resized and converted as the data set's are. `y` [images]: the label
        of each. Classes may have different numbers of images; each image counts the same.
        **Raises** `ClassifierError` for fewer than two classes or more than the variant was trained for, and for a
        variant whose fakes are real images of other classes; `ImageError` for images that do not fit.
        """
        self._check_options()
        self.trained_ = self._load()
        if y is None:
            raise ClassifierError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None"
            )
        support, y = self._images(X, reset=True), column_or_1d(y, warn=True)
        check_consistent_length(support[0], y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self._check_classes()
        order = np.argsort(
            labels, kind="stable"
        )  # the support of a task is sorted by class; noise depends on positions
        episodes = self._task(support[:, torch.from_numpy(order)], torch.from_numpy(labels[order]))
        system, self.task_, self.support_ = self.trained_.system, episodes, episodes.support
        adapted = adapt(system, self.trained_.weights, episodes, system.inner.test_steps, differentiable=False)
        self.weights_ = {name: weight.detach() for name, weight in adapted.items()}
        return self

    def predict(self, X: Images) -> np.ndarray:
        """The label [images] of each image: the class with the largest probability. `X` as in `fit`."""
        largest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[largest]

    def predict_proba(self, X: Images) -> np.ndarray:
        """Probabilities [images, classes] in the order of `classes_`, each row with sum 1. `X` as in `fit`.

        They are the softmax of the outputs of these classes alone. With `statistics="queries"` they depend on the
        other images of the call, as in meta-testing, since batch normalisation uses them.
        **Raises** `NotFittedError` before `fit`; `ImageError` for images that do not fit.
        """
        check_is_fitted(self)
        queries, system = self._images(X, reset=False), self.trained_.system
        with torch.no_grad():
            if self.statistics == "queries":
                task = replace(self.task_, query=queries)
                logits = system.answer(self.weights_, task, system.inner.test_steps)[0]
            else:
                some = max(1, MOST_IMAGES // (self.support_.shape[1] + 1))
                logits = torch.cat([self._with_support(part) for part in queries[0].split(some)])
            return trained.probabilities(logits, len(self.classes_)).cpu().numpy()

    def _with_support(self, queries: Tensor) -> Tensor:
        """Logits [images, outputs], each of `queries` [images, ...] in a batch of its own with the whole support."""
        batches = torch.cat([self.support_.expand(len(queries), -1, -1, -1, -1), queries[:, None]], dim=1)
        return self.trained_.system.classify(per_task(self.weights_, len(queries)), batches)[:, -1]

    def _load(self) -> Trained:
        if self.checkpoint is None:
            raise ClassifierError(
                "checkpoint is None: expected the folder of a trained variant, as results/<study>/train/<variant>"
            )
        return trained.load(self.checkpoint, self.variant, self.seed)

    def _check_options(self) -> None:
        for name, known in (("statistics", ("queries", "support")), ("ink", ("auto", "dark", "bright"))):
            if getattr(self, name) not in known:
                raise ClassifierError(f"{name} = {getattr(self, name)!r}: expected one of: {', '.join(known)}")

    def _check_classes(self) -> None:
        count, found = len(self.classes_), self.trained_
        if count < 2:
            raise ClassifierError(f"y holds one class, {self.classes_.tolist()[0]!r}: expected at least two")
        if count > found.ways:
            raise ClassifierError(
                f"y holds {count} classes, and {found.variant} was trained for {found.ways}: set tasks.ways: {count}"
                f" in study {found.study} of params.yaml, run `dvc repro train@{found.variant}`, and give that folder"
            )
        if found.system.others:
            raise ClassifierError(
                f"the fakes of {found.variant} are images of other classes, which only its data set"
                " has; choose another variant"
            )

    def _images(self, X: Images, *, reset: bool) -> Tensor:
        """`X` as [1, images, side, side, channels], 0 to 1. `reset`: whether it is an argument of `fit`."""
        found = self.trained_
        if reset:
            self.n_features_in_ = self._format.features
        values = images.read(X, self._format) if images.are_paths(X) else self._shaped(self._numbers(X, reset))
        ink = torch.from_numpy(np.ascontiguousarray(values)).to(
            found.device, precision.use(found.params.current.train.precision)
        )
        return (ink / images.LEVELS if values.dtype == np.uint8 else ink)[None]

    def _numbers(self, X: Images, reset: bool) -> np.ndarray:
        """`X` as an array of finite numbers. Rows of features are counted and named as in scikit-learn."""
        if len(X.shape if hasattr(X, "shape") else np.asarray(X).shape) == 2:
            return validate_data(self, X, reset=reset, dtype="numeric")
        return check_array(X, allow_nd=True, estimator=self, input_name="X")

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        return images.shaped(values, self._format)

    @property
    def _format(self) -> Format:
        found = self.trained_
        dark = self.ink == "dark" or (self.ink == "auto" and found.ink)
        return Format(found.side, found.channels, ink=dark)

    def _task(self, support: Tensor, labels: Tensor) -> Episodes:
        """One task without queries; `support` [1, images, ...] by class, `labels` int64 [images]."""
        labels, count = labels.to(support.device), len(self.classes_)
        return Episodes(
            support=support,
            query=support[:, :0],
            support_labels=labels,
            query_labels=labels[:0],
            classes=torch.arange(count, device=support.device)[None],
            key=self._noise().to(support.device),
            ways=count,
            prototypes=self._prototypes(support, labels),
        )

    def _noise(self) -> Tensor:
        """The stream of the fakes' noise, int64 [1]: the one that `Sampler.sample` gives to a task of the meta-test."""
        number = self.random_state
        if not isinstance(number, (int, np.integer)):
            number = check_random_state(number).randint(MOST_STREAMS)
        return streams.key(torch.tensor([self.trained_.seed]), "test/noise", 0, torch.tensor([int(number)]))[0]

    def _prototypes(self, support: Tensor, labels: Tensor) -> Tensor | None:
        """The mean embedding of each class's support, [1, classes, features], as `megan.meta.setup` embeds a split."""
        network = self.trained_.encoder
        if network is None:
            return None
        levels = (support[0] * images.LEVELS).round().to(torch.uint8)
        rows = encoder.prototype_rows(encoder.embed(levels, network), network)
        return torch.stack([rows[labels == label].mean(dim=0) for label in range(len(self.classes_))])[None].to(support)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.classifier_tags.poor_score = True  # on data that are not images of the kind that it was trained on
        return tags
