"""The figures of a report as pandas tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlsession.session.phase import Array

if TYPE_CHECKING:
    import pandas as pd

    from mlsession.metrics.report import ClassifierMetrics


def confusion_pairs(metrics: ClassifierMetrics) -> pd.DataFrame:
    """Columns "True Label", "Predicted", "Count": the pairs that occur, in the order of the classes."""
    import pandas as pd

    truth, predicted = np.nonzero(metrics.confusion_matrix)
    return pd.DataFrame(
        {
            "True Label": [metrics.classes[place] for place in truth],
            "Predicted": [metrics.classes[place] for place in predicted],
            "Count": metrics.confusion_matrix[truth, predicted],
        }
    )


def confusion_table(metrics: ClassifierMetrics) -> pd.DataFrame:
    """The matrix: a row for each true label, a column for each predicted one."""
    import pandas as pd

    return pd.DataFrame(
        metrics.confusion_matrix.copy(),
        index=pd.Index(metrics.classes, name="True Label"),
        columns=pd.Index(metrics.classes, name="Predicted"),
    )


def class_frame(metrics: ClassifierMetrics) -> pd.DataFrame:
    """One row for each class."""
    import pandas as pd

    return pd.DataFrame(
        {
            "Label": list(metrics.classes),
            "Count": metrics.class_counts,
            "Precision": metrics.precision,
            "Recall": metrics.recall,
            "F1": metrics.f1,
            "ROC AUC": metrics.roc_auc,
            "True Positives": metrics.true_positives,
            "False Positives": metrics.false_positives,
            "False Negatives": metrics.false_negatives,
            "True Negatives": metrics.true_negatives,
            **_ends("Precision", metrics.precision_interval),
            **_ends("Recall", metrics.recall_interval),
            **_ends("F1", metrics.f1_interval),
            **_ends("ROC AUC", metrics.roc_auc_interval),
        }
    )


def average_frame(metrics: ClassifierMetrics) -> pd.DataFrame:
    """Rows "micro", "macro" and "weighted"; the micro average has no area."""
    import pandas as pd

    return pd.DataFrame(
        [
            [metrics.precision_micro, metrics.recall_micro, metrics.f1_micro, math.nan],
            [metrics.precision_macro, metrics.recall_macro, metrics.f1_macro, metrics.roc_auc_ovr],
            [metrics.precision_weighted, metrics.recall_weighted, metrics.f1_weighted, metrics.roc_auc_ovr_weighted],
        ],
        index=pd.Index(["micro", "macro", "weighted"], name="Average"),
        columns=["Precision", "Recall", "F1", "ROC AUC"],
    )


def reliability_frame(metrics: ClassifierMetrics) -> pd.DataFrame:
    """One row for each bin of confidences, those without images too."""
    import pandas as pd

    bins = metrics.reliability_bins
    return pd.DataFrame(
        {
            "Low": [each.low for each in bins],
            "High": [each.high for each in bins],
            "Count": [each.count for each in bins],
            "Confidence": [each.confidence for each in bins],
            "Accuracy": [each.accuracy for each in bins],
            **_ends("Accuracy", np.array([each.accuracy_interval for each in bins]).reshape(-1, 2)),
        }
    )


def rejection_frame(metrics: ClassifierMetrics) -> pd.DataFrame:
    """One row for each threshold, from the highest down."""
    import pandas as pd

    points = metrics.rejections()
    return pd.DataFrame(
        {
            "Threshold": [point.threshold for point in points],
            "Coverage": [point.coverage for point in points],
            "Error": [point.error for point in points],
            **_ends("Error", np.array([point.error_interval for point in points]).reshape(-1, 2)),
            "Count": [point.count for point in points],
            "Wrong": [point.wrong for point in points],
        }
    )


def _ends(name: str, intervals: Array) -> dict[str, Array]:
    """float64 [n, 2] as two columns."""
    return {f"{name} Low": intervals[:, 0], f"{name} High": intervals[:, 1]}
