"""A report as a notebook shows it; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    columns = (metrics.f1, metrics.roc_auc, metrics.precision, metrics.recall)
    intervals = (metrics.precision_interval, metrics.recall_interval)
    rows = [
        (label, count, precision, _range(of_precision), recall, _range(of_recall), f1, area)
        for label, count, f1, area, precision, recall, of_precision, of_recall in zip(
            metrics.classes,
            metrics.class_counts.tolist(),
            *(column.tolist() for column in columns),
            *(interval.tolist() for interval in intervals),
            strict=True,
        )
    ]
    left_out = ""
    if len(rows) > MOST_ROWS:
        left_out = f"the {MOST_ROWS} classes with the lowest F1 of {len(rows)}"
        rows = sorted(rows, key=lambda row: (not row[6] < 1, row[6]))[:MOST_ROWS]
    overview = "<br>".join(escaped(line) for line in overview_lines(metrics))
    header = ["label", "count", "precision", "95 % interval", "recall", "95 % interval", "F1", "AUC"]
    classes = table(header, rows)
    matrix = confusion(metrics.classes, metrics.confusion_matrix)
    return card(title, summary_line(metrics), [overview, escaped(left_out), classes, matrix])


def _range(ends: Sequence[float]) -> str:
    return f"{ends[0]:.2f} to {ends[1]:.2f}" if math.isfinite(ends[0]) else "-"
