"""The report of an evaluation: figures, how sure they are, tables, thresholds; stored and said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsession.errors import InvalidParameter, UsageError
from mlsession.metrics import confusion as matrix
from mlsession.metrics import frames, operating
from mlsession.metrics.calibration import ReliabilityBin, reliability_bins
from mlsession.metrics.certainty import CertainFigures
from mlsession.metrics.evaluation import EvaluationSums
from mlsession.metrics.operating import OperatingPoint, Rejection
from mlsession.metrics.page import metrics_html
from mlsession.metrics.stored import fields_of, report_json
from mlsession.metrics.text import summary_line, table_text
from mlsession.session.phase import Json

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ClassifierMetrics(CertainFigures):
    """What an evaluation found; K classes. Names and conventions are scikit-learn's where it has them, and
    docs/metrics.md has the formula of each figure.

        metrics = classifier.evaluate(DataSource.labeled_directories("test"))
        metrics.accuracy, metrics.accuracy_interval
        metrics.threshold("cat", min_precision=0.95).threshold
        metrics.reject(max_error=0.02).coverage
    """

    @classmethod
    def of(cls, sums: EvaluationSums, classes: tuple[str, ...]) -> ClassifierMetrics:
        """The report of finished sums."""
        return cls(
            classes=classes,
            confusion_matrix=sums.basic.confusion.copy(),
            log_loss=sums.basic.log_loss,
            rank_counts=sums.ranks.copy(),
            areas=sums.scores.areas(),
            log_loss_deviation=sums.loss_deviation,
            brier_score=sums.brier_score,
            calibration_table=sums.calibration.copy(),
            confidence_counts=sums.confidence.copy(),
            scores=sums.scores,
        )

    @classmethod
    def invalid(cls, error: str) -> ClassifierMetrics:
        """No figures, and why: for an evaluation that was not made."""
        return cls(classes=(), confusion_matrix=np.zeros((0, 0), dtype=np.int64), log_loss=math.nan, error=error)

    # Thresholds

    def operating_points(self, label: str) -> tuple[OperatingPoint, ...]:
        """What each threshold for a label's probability gives, from the highest down: its precision-recall curve.

        Raises `InvalidParameter` for a label that is not known or has no images, `UsageError` where the probabilities
        are not known: metrics that were read from JSON do not have them.
        """
        if label not in self.classes:
            raise InvalidParameter("label", label, f"must be one of {', '.join(self.classes)}")
        if self.scores is None:
            raise UsageError("these metrics do not hold the probabilities of each class; evaluate the classifier anew")
        place = self.classes.index(label)
        if not self.class_counts[place]:
            raise InvalidParameter("label", label, "none of the images evaluated has it")
        return tuple(operating.operating_points(label, self.scores.positives[place], self.scores.negatives[place]))

    def threshold(
        self, label: str, *, min_precision: float | None = None, min_recall: float | None = None
    ) -> OperatingPoint:
        """From which probability on to give images a label, so that at least `min_precision` of them are of it (then
        with the largest recall), or so that at least `min_recall` of its images get it (with the largest precision).

        Raises `InvalidParameter` where no threshold does, with the best there is; and as `operating_points` does.
        """
        if (min_precision is None) == (min_recall is None):
            raise InvalidParameter("min_precision", min_precision, "give either min_precision or min_recall")
        points = self.operating_points(label)
        if min_precision is not None:
            return operating.with_precision(points, min_precision)
        return operating.with_recall(points, min_recall or 0.0)

    def rejections(self) -> tuple[Rejection, ...]:
        """What each least confidence gives, from the highest down; the last one answers all images.

        Raises `UsageError` where there are no images, or their confidences are not known.
        """
        if self.confidence_counts is None or not self.count:
            raise UsageError(f"there are no confidences to choose a threshold by: {self.summary}")
        return tuple(operating.rejections(self.confidence_counts))

    def reject(self, *, max_error: float) -> Rejection:
        """From which confidence on to believe a prediction, so that at most `max_error` of those are wrong; the
        threshold that answers most. `predict(..., min_confidence=...)` takes it.

        Raises `InvalidParameter` where no threshold does, with the best there is, and `UsageError` as `rejections`.
        """
        return operating.with_error(self.rejections(), max_error)

    # Tables

    @property
    def confusion(self) -> pd.DataFrame:
        """Columns "True Label", "Predicted", "Count": the pairs that occur, in the order of the classes."""
        return frames.confusion_pairs(self)

    @property
    def confusion_frame(self) -> pd.DataFrame:
        """The confusion matrix with labels: true ones by row, predicted ones by column."""
        return frames.confusion_table(self)

    @property
    def precision_recall(self) -> pd.DataFrame:
        """One row for each class: "Label", "Count", "Precision", "Recall", "F1", "ROC AUC", "True Positives", ..., and
        the lower and upper ends of the intervals, as "Precision Low", "Precision High", ...
        """
        return frames.class_frame(self)

    @property
    def averages(self) -> pd.DataFrame:
        """The rows "micro", "macro" and "weighted", with "Precision", "Recall", "F1" and "ROC AUC"."""
        return frames.average_frame(self)

    @property
    def reliability_bins(self) -> tuple[ReliabilityBin, ...]:
        """How often predictions of each range of confidence are right; () where that is not known."""
        return () if self.calibration_table is None else reliability_bins(self.calibration_table)

    @property
    def reliability(self) -> pd.DataFrame:
        """The same: "Low", "High", "Count", "Confidence", "Accuracy", "Accuracy Low", "Accuracy High"."""
        return frames.reliability_frame(self)

    @property
    def risk_coverage(self) -> pd.DataFrame:
        """`rejections()` as a table: "Threshold", "Coverage", "Error", "Error Low", "Error High", "Count", "Wrong"."""
        return frames.rejection_frame(self)

    def top_confusions(self, n: int = 10) -> tuple[matrix.Confusion, ...]:
        """The `n` commonest mistakes, commonest first."""
        return matrix.top_confusions(self.confusion_matrix, self.classes, n)

    # Stored and said

    def to_json(self) -> dict[str, Json]:
        """What `--json` prints; figures that are not finite are None. `from_json` reads it back."""
        return report_json(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> ClassifierMetrics:
        """Read `to_json` back, all but `scores`. Raises `InternalError` for another form."""
        return cls(**fields_of(data))

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
