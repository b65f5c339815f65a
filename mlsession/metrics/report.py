"""The report of an evaluation: accuracy, log loss, and precision, recall and F1 of each class."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsession.errors import InternalError
from mlsession.metrics.confusion import f1_scores, precisions, recalls
from mlsession.metrics.sums import MetricSums
from mlsession.session.phase import Array, Json

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ClassifierMetrics:
    """What an evaluation found; K classes.

    Undefined figures are NaN: accuracy, error and log loss without rows, precision of a class never predicted, recall
    of a class without rows, F1 of a class that is neither.
    """

    classes: tuple[str, ...]
    confusion_matrix: Array
    """int64 [K, K], read-only: images by true class (rows) and predicted class (columns)."""
    log_loss: float
    """The mean of -ln(probability of the true class), in nats; see `metrics.sums`."""
    error: str | None = None
    """Why there are no figures, in one line; None when there are."""

    def __post_init__(self) -> None:
        if self.confusion_matrix.shape != (len(self.classes),) * 2 or self.confusion_matrix.dtype != np.int64:
            found = f"{self.confusion_matrix.dtype} {self.confusion_matrix.shape}"
            raise InternalError(f"metrics: the confusion matrix of {len(self.classes)} classes is {found}")
        self.confusion_matrix.setflags(write=False)

    @classmethod
    def of(cls, sums: MetricSums, classes: tuple[str, ...]) -> ClassifierMetrics:
        """The report of finished sums."""
        return cls(classes=classes, confusion_matrix=sums.confusion.copy(), log_loss=sums.log_loss)

    @classmethod
    def invalid(cls, error: str) -> ClassifierMetrics:
        """No figures, and why: for an evaluation that could not be made."""
        return cls(classes=(), confusion_matrix=np.zeros((0, 0), dtype=np.int64), log_loss=math.nan, error=error)

    @property
    def is_valid(self) -> bool:
        """Whether the evaluation could be made."""
        return self.error is None

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
    def class_counts(self) -> Array:
        """int64 [K]: images of each class."""
        counts: Array = self.confusion_matrix.sum(axis=1)
        return counts

    @property
    def precision(self) -> Array:
        """float64 [K]: of the images predicted as a class, the share that is of it."""
        return precisions(self.confusion_matrix)

    @property
    def recall(self) -> Array:
        """float64 [K]: of the images of a class, the share predicted as it."""
        return recalls(self.confusion_matrix)

    @property
    def f1(self) -> Array:
        """float64 [K]: the harmonic mean of precision and recall."""
        return f1_scores(self.confusion_matrix)

    @property
    def confusion(self) -> pd.DataFrame:
        """Columns "True Label", "Predicted", "Count": the pairs that occur, in the order of the classes."""
        import pandas as pd

        truth, predicted = np.nonzero(self.confusion_matrix)
        return pd.DataFrame(
            {
                "True Label": [self.classes[place] for place in truth],
                "Predicted": [self.classes[place] for place in predicted],
                "Count": self.confusion_matrix[truth, predicted],
            }
        )

    @property
    def precision_recall(self) -> pd.DataFrame:
        """Columns "Label", "Count", "Precision", "Recall", "F1": one row for each class."""
        import pandas as pd

        return pd.DataFrame(
            {
                "Label": list(self.classes),
                "Count": self.class_counts,
                "Precision": self.precision,
                "Recall": self.recall,
                "F1": self.f1,
            }
        )

    def to_json(self) -> dict[str, Json]:
        """The stored form, and what `--json` prints; figures that are not finite are None.

        Only "classes", "confusion_matrix", "log_loss" and "error" are read back: all else follows from them.
        """
        figures = zip(
            self.classes,
            self.class_counts.tolist(),
            map(_finite, self.precision.tolist()),
            map(_finite, self.recall.tolist()),
            map(_finite, self.f1.tolist()),
            strict=True,
        )
        return {
            "error": self.error,
            "count": self.count,
            "accuracy": _finite(self.accuracy),
            "classification_error": _finite(self.classification_error),
            "log_loss": _finite(self.log_loss),
            "classes": list(self.classes),
            "confusion_matrix": self.confusion_matrix.tolist(),
            "per_class": [
                {"label": label, "count": count, "precision": precision, "recall": recall, "f1": f1}
                for label, count, precision, recall, f1 in figures
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> ClassifierMetrics:
        """Read `to_json` back. Raises `InternalError` for another form."""
        classes, matrix, loss, error = (data.get(name) for name in ("classes", "confusion_matrix", "log_loss", "error"))
        if not isinstance(classes, list) or not isinstance(matrix, list) or not isinstance(loss, int | float | None):
            raise InternalError("metrics: no classes, confusion_matrix or log_loss")
        return cls(
            classes=tuple(map(str, classes)),
            confusion_matrix=np.array(matrix, dtype=np.int64).reshape(len(classes), -1 if classes else 0),
            log_loss=math.nan if loss is None else float(loss),
            error=None if error is None else str(error),
        )

    @property
    def summary(self) -> str:
        """One line, such as "accuracy 94.5 % (189 of 200), log loss 0.213"."""
        if self.error is not None:
            return f"no metrics: {self.error}"
        if not self.count:
            return "no images to evaluate"
        correct = int(np.trace(self.confusion_matrix))
        return f"accuracy {100 * self.accuracy:.1f} % ({correct} of {self.count}), log loss {self.log_loss:.3f}"

    def __repr__(self) -> str:
        return f"<ClassifierMetrics: {self.summary}>"

    def __str__(self) -> str:
        """The summary and a table of the classes; "-" where a figure is undefined."""
        if not self.classes:
            return self.summary
        columns = (self.class_counts.tolist(), self.precision.tolist(), self.recall.tolist(), self.f1.tolist())
        width = max(_width(label) for label in (*self.classes, "label"))
        lines = [self.summary, "", f"label{' ' * (width - 5)}   count  precision  recall     f1"]
        for label, count, precision, recall, f1 in zip(self.classes, *columns, strict=True):
            name = label + " " * (width - _width(label))
            lines.append(f"{name}  {count:>6}  {_figure(precision):>9}  {_figure(recall):>6}  {_figure(f1):>5}")
        return "\n".join(lines)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"


def _width(text: str) -> int:
    """Columns of a terminal: wide letters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
