"""The report of an evaluation: how good a classifier is, overall and for each class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsession.errors import InternalError, InvalidParameter
from mlsession.metrics import confusion as matrix
from mlsession.metrics.calibration import expected_calibration_error, wilson_interval
from mlsession.metrics.evaluation import EvaluationSums
from mlsession.metrics.frames import class_frame, confusion_pairs, confusion_table
from mlsession.metrics.page import metrics_html
from mlsession.metrics.stored import areas_of, number, report_json
from mlsession.metrics.text import summary_line, table_text
from mlsession.session.phase import Array, Json

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ClassifierMetrics:
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
    expected_calibration_error: float = math.nan
    """How far confidence and accuracy lie apart, from 0 to 1; see `metrics.calibration`."""
    error: str | None = None
    """Why there are no figures, in one line; None when there are."""

    def __post_init__(self) -> None:
        size = len(self.classes)
        for name, table, shape, dtype in (
            ("confusion matrix", self.confusion_matrix, (size, size), np.int64),
            ("rank counts", self.rank_counts, (size,), np.int64),
            ("areas", self.areas, (size,), np.float64),
        ):
            if table is None:
                continue
            if table.shape != shape or table.dtype != dtype:
                raise InternalError(f"metrics: the {name} of {size} classes is {table.dtype} {table.shape}")
            table.setflags(write=False)

    @classmethod
    def of(cls, sums: EvaluationSums, classes: tuple[str, ...]) -> ClassifierMetrics:
        """The report of finished sums."""
        return cls(
            classes=classes,
            confusion_matrix=sums.basic.confusion.copy(),
            log_loss=sums.basic.log_loss,
            rank_counts=sums.ranks.copy(),
            areas=sums.scores.areas(),
            expected_calibration_error=expected_calibration_error(sums.calibration),
        )

    @classmethod
    def invalid(cls, error: str) -> ClassifierMetrics:
        """No figures, and why: for an evaluation that was not made."""
        return cls(classes=(), confusion_matrix=np.zeros((0, 0), dtype=np.int64), log_loss=math.nan, error=error)

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
    def accuracy_interval(self) -> tuple[float, float]:
        """The accuracy's 95 % interval (Wilson), for images that were drawn independently."""
        return wilson_interval(int(np.trace(self.confusion_matrix)), self.count)

    @property
    def majority_baseline(self) -> float:
        """The accuracy of always saying the commonest true class of these images: what a classifier has to beat."""
        return int(self.class_counts.max()) / self.count if self.count else math.nan

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have images."""
        has_images = self.class_counts > 0
        return float(self.recall[has_images].mean()) if has_images.any() else math.nan

    def top_k_accuracy(self, k: int) -> float:
        """The share of images whose true class is among the best `k`; of equal scores the earlier class is better.

        NaN where ranks are not known. Raises `InvalidParameter` for a `k` below 1.
        """
        if k < 1:
            raise InvalidParameter("k", k, "must be 1 or more")
        if self.rank_counts is None or not self.count:
            return self.accuracy if k == 1 else math.nan
        return int(self.rank_counts[:k].sum()) / self.count

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

    # Tables

    @property
    def confusion(self) -> pd.DataFrame:
        """Columns "True Label", "Predicted", "Count": the pairs that occur, in the order of the classes."""
        return confusion_pairs(self)

    @property
    def confusion_frame(self) -> pd.DataFrame:
        """The confusion matrix with labels: true ones by row, predicted ones by column."""
        return confusion_table(self)

    @property
    def precision_recall(self) -> pd.DataFrame:
        """One row for each class: "Label", "Count", "Precision", "Recall", "F1", "ROC AUC", "True Positives", ..."""
        return class_frame(self)

    def top_confusions(self, n: int = 10) -> tuple[matrix.Confusion, ...]:
        """The `n` commonest mistakes, commonest first."""
        return matrix.top_confusions(self.confusion_matrix, self.classes, n)

    # Stored and said

    def to_json(self) -> dict[str, Json]:
        """What `--json` prints; figures that are not finite are None. `from_json` reads it back."""
        return report_json(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> ClassifierMetrics:
        """Read `to_json` back. Raises `InternalError` for another form."""
        classes, table, ranks = (data.get(name) for name in ("classes", "confusion_matrix", "rank_counts"))
        if not isinstance(classes, list) or not isinstance(table, list) or not isinstance(ranks, list | None):
            raise InternalError("metrics: no classes, confusion_matrix or rank_counts")
        error = data.get("error")
        return cls(
            classes=tuple(map(str, classes)),
            confusion_matrix=np.array(table, dtype=np.int64).reshape(len(classes), -1 if classes else 0),
            log_loss=number(data, "log_loss"),
            rank_counts=None if ranks is None else np.array(ranks, dtype=np.int64),
            areas=areas_of(data),
            expected_calibration_error=number(data, "expected_calibration_error"),
            error=None if error is None else str(error),
        )

    @property
    def summary(self) -> str:
        """One line, such as "accuracy 94.5 % (189 of 200), log loss 0.213"."""
        return summary_line(self)

    def _repr_html_(self) -> str:
        return metrics_html(self)

    def __repr__(self) -> str:
        return f"<ClassifierMetrics: {self.summary}>"

    def __str__(self) -> str:
        """The summary, what one accuracy does not tell, and a table of the classes; "-" where it is undefined."""
        return table_text(self)
