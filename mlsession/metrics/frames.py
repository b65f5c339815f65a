"""The figures of a report as pandas tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
        }
    )
