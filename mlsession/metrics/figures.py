"""The figures of an evaluation: how good a classifier is, overall and for each class."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlsession.errors import InternalError, InvalidParameter
from mlsession.metrics import calibration
from mlsession.metrics import confusion as matrix
from mlsession.metrics.calibration import CONFIDENCE_BINS
from mlsession.metrics.scores import BINS, ScoreHistograms
from mlsession.session.phase import Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ClassifierFigures:
    """What an evaluation found; K classes. Names and conventions are scikit-learn's where it has them.

    Undefined figures are NaN: any of them without images, the precision of a class never predicted, the recall of a
    class without images, the F1 of a class that is neither, the area of a class without images or without others.
    """

    classes: tuple[str, ...]
    confusion_matrix: Array
    """int64 [K, K], read-only: images by true class (rows) and predicted class (columns)."""
    log_loss: float
    """The mean of -ln(probability of the true class), in nats; see `metrics.sums`."""
    rank_counts: Array | None = None
    """int64 [K]: images by the rank of their true class, best first; None: not known. See `metrics.ranks`."""
    areas: Array | None = None
    """float64 [K]: see `roc_auc`; None: not known."""
    log_loss_deviation: float = math.nan
    """The standard deviation of the images' losses, in nats; NaN: not known."""
    brier_score: float = math.nan
    """The mean over images of the squared errors of all classes' probabilities, from 0 to 2 (G. W. Brier, 1950); of two
    classes it is twice what is also called so. NaN: not known.
    """
    calibration_table: Array | None = None
    """int64 [15, 3]: see `metrics.calibration`; None: not known."""
    confidence_counts: Array | None = None
    """int64 [2, 1024]: images predicted wrongly and rightly, by bin of their best probability; None: not known."""
    scores: ScoreHistograms | None = None
    """The probabilities of each class by bin; None: not known. JSON does not hold them."""
    error: str | None = None
    """Why there are no figures, in one line; None when there are."""

    def __post_init__(self) -> None:
        size = len(self.classes)
        for name, table, shape, dtype in (
            ("confusion matrix", self.confusion_matrix, (size, size), np.int64),
            ("rank counts", self.rank_counts, (size,), np.int64),
            ("areas", self.areas, (size,), np.float64),
            ("calibration table", self.calibration_table, (CONFIDENCE_BINS, 3), np.int64),
            ("confidence counts", self.confidence_counts, (2, BINS), np.int64),
        ):
            if table is None:
                continue
            if table.shape != shape or table.dtype != dtype:
                raise InternalError(f"metrics: the {name} of {size} classes is {table.dtype} {table.shape}")
            table.setflags(write=False)

    @property
    def is_valid(self) -> bool:
        """Whether there are figures; `error` says why not. Data that do not fit a model raise an error instead."""
        return self.error is None

    # Overall

    @property
    def count(self) -> int:
        """Images evaluated."""
        return int(self.confusion_matrix.sum())

    @property
    def accuracy(self) -> float:
        """The share of images predicted correctly."""
        return int(np.trace(self.confusion_matrix)) / self.count if self.count else math.nan

    @property
    def classification_error(self) -> float:
        """The share of images predicted wrongly."""
        return (self.count - int(np.trace(self.confusion_matrix))) / self.count if self.count else math.nan

    @property
    def majority_baseline(self) -> float:
        """The accuracy of always saying the commonest true class of these images: what a classifier has to beat."""
        return int(self.class_counts.max()) / self.count if self.count else math.nan

    @property
    def baseline_label(self) -> str:
        """That class; the first of equals, "" without images."""
        return self.classes[int(self.class_counts.argmax())] if self.count else ""

    @property
    def gain_over_baseline(self) -> float:
        """The accuracy less the `majority_baseline`: what the classifier adds to a guess, from -1 to 1."""
        return self.accuracy - self.majority_baseline

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have images."""
        has_images = self.class_counts > 0
        return float(self.recall[has_images].mean()) if has_images.any() else math.nan

    def top_k_accuracy(self, k: int) -> float:
        """The share of images whose true class is among the best `k`; of equal scores the earlier class is better.

        NaN where ranks are not known. Raises `InvalidParameter` for a `k` below 1.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise InvalidParameter("k", k, "must be a whole number, 1 or more")
        if self.rank_counts is None or not self.count:
            return self.accuracy if k == 1 else math.nan
        return int(self.rank_counts[:k].sum()) / self.count

    @property
    def precision_micro(self) -> float:
        """The share of all predictions that are right: the accuracy, since an image has one label. So are the next."""
        return self.accuracy

    @property
    def recall_micro(self) -> float:
        """The share of all images that are found."""
        return self.accuracy

    @property
    def f1_micro(self) -> float:
        """The harmonic mean of the two."""
        return self.accuracy

    @property
    def precision_macro(self) -> float:
        """The mean precision of the classes that occur, true or predicted; undefined ones count as 0."""
        return matrix.macro_average(self.precision, self.confusion_matrix)

    @property
    def recall_macro(self) -> float:
        """The mean recall, likewise."""
        return matrix.macro_average(self.recall, self.confusion_matrix)

    @property
    def f1_macro(self) -> float:
        """The mean F1, likewise."""
        return matrix.macro_average(self.f1, self.confusion_matrix)

    @property
    def precision_weighted(self) -> float:
        """The mean precision over images by their true class; undefined ones count as 0."""
        return matrix.weighted_average(self.precision, self.confusion_matrix)

    @property
    def recall_weighted(self) -> float:
        """The mean recall, likewise: the accuracy."""
        return matrix.weighted_average(self.recall, self.confusion_matrix)

    @property
    def f1_weighted(self) -> float:
        """The mean F1, likewise."""
        return matrix.weighted_average(self.f1, self.confusion_matrix)

    @property
    def roc_auc_ovr(self) -> float:
        """The mean of the classes' areas that are defined."""
        areas = self.roc_auc[np.isfinite(self.roc_auc)]
        return float(areas.mean()) if len(areas) else math.nan

    @property
    def roc_auc_ovr_weighted(self) -> float:
        """The same, each class as often as it has images."""
        known = np.isfinite(self.roc_auc)
        return float(np.average(self.roc_auc[known], weights=self.class_counts[known])) if known.any() else math.nan

    @property
    def expected_calibration_error(self) -> float:
        """How far confidence and accuracy lie apart in the mean, from 0 to 1; see `metrics.calibration`."""
        table = self.calibration_table
        return math.nan if table is None else calibration.expected_calibration_error(table)

    @property
    def maximum_calibration_error(self) -> float:
        """How far they lie apart in the bin of confidences where they do so most."""
        table = self.calibration_table
        return math.nan if table is None else calibration.maximum_calibration_error(table)

    # By class

    @property
    def class_counts(self) -> Array:
        """int64 [K]: images of each class."""
        counts: Array = self.confusion_matrix.sum(axis=1)
        return counts

    @property
    def true_positives(self) -> Array:
        """int64 [K]: images of a class predicted as it."""
        return np.diagonal(self.confusion_matrix).copy()

    @property
    def false_positives(self) -> Array:
        """int64 [K]: images of other classes predicted as it."""
        wrong: Array = self.confusion_matrix.sum(axis=0) - self.true_positives
        return wrong

    @property
    def false_negatives(self) -> Array:
        """int64 [K]: images of a class predicted as another."""
        wrong: Array = self.class_counts - self.true_positives
        return wrong

    @property
    def true_negatives(self) -> Array:
        """int64 [K]: images of other classes predicted as others."""
        rest: Array = self.count - self.true_positives - self.false_positives - self.false_negatives
        return rest

    @property
    def precision(self) -> Array:
        """float64 [K]: of the images predicted as a class, the share that is of it."""
        return matrix.precisions(self.confusion_matrix)

    @property
    def recall(self) -> Array:
        """float64 [K]: of the images of a class, the share predicted as it."""
        return matrix.recalls(self.confusion_matrix)

    @property
    def f1(self) -> Array:
        """float64 [K]: the harmonic mean of precision and recall."""
        return matrix.f1_scores(self.confusion_matrix)

    @property
    def roc_auc(self) -> Array:
        """float64 [K]: the area under the ROC curve of each class against all others; see `metrics.scores`."""
        return np.full(len(self.classes), np.nan) if self.areas is None else self.areas
