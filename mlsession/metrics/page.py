"""A report as a notebook shows it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsession.display.html import card, confusion, escaped, table
from mlsession.metrics.text import overview_lines, summary_line

if TYPE_CHECKING:
    from mlsession.metrics.report import ClassifierMetrics

MOST_ROWS = 60
"""Classes in the table; of more the worst by F1 are shown."""


def metrics_html(metrics: ClassifierMetrics, title: str = "ClassifierMetrics") -> str:
    """The summary, a table of the classes, and the confusion matrix if it is small."""
    if not metrics.is_valid or not metrics.count:
        return card(title, summary_line(metrics))
    columns = (metrics.precision, metrics.recall, metrics.f1, metrics.roc_auc)
    rows = [
        (label, count, *map(float, figures))
        for label, count, *figures in zip(metrics.classes, metrics.class_counts.tolist(), *columns, strict=True)
    ]
    left_out = ""
    if len(rows) > MOST_ROWS:
        left_out = f"the {MOST_ROWS} classes with the lowest F1 of {len(rows)}"
        rows = sorted(rows, key=lambda row: row[4])[:MOST_ROWS]
    overview = "<br>".join(escaped(line) for line in overview_lines(metrics))
    classes = table(["label", "count", "precision", "recall", "F1", "AUC"], rows)
    matrix = confusion(metrics.classes, metrics.confusion_matrix)
    return card(title, summary_line(metrics), [overview, escaped(left_out), classes, matrix])
