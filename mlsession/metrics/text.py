"""A report in words: one line, or a table of the classes; pure."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlsession.metrics.report import ClassifierMetrics

_COLUMNS = "   count  precision  recall     f1    auc"


def summary_line(metrics: ClassifierMetrics) -> str:
    """Such as "accuracy 94.5 % (189 of 200), log loss 0.213"."""
    if metrics.error is not None:
        return f"no metrics: {metrics.error}"
    if not metrics.count:
        return "no images to evaluate"
    correct = int(metrics.true_positives.sum())
    return f"accuracy {_percent(metrics.accuracy)} ({correct} of {metrics.count}), log loss {metrics.log_loss:.3f}"


def overview_lines(metrics: ClassifierMetrics) -> list[str]:
    """What one accuracy does not tell; nothing without images. Figures that are not known are left out."""
    if not metrics.count:
        return []
    low, high = metrics.accuracy_interval
    figures = [
        ("balanced accuracy", _percent(metrics.balanced_accuracy)),
        ("macro f1", _figure(metrics.f1_macro)),
        ("auc", _figure(metrics.roc_auc_ovr)),
        ("calibration error", _figure(metrics.expected_calibration_error)),
    ]
    if len(metrics.classes) > 5:
        figures.insert(0, ("top-5 accuracy", _percent(metrics.top_k_accuracy(5))))
    known = [f"{name} {text}" for name, text in figures if text != "-"]
    return [
        f"95 % interval {_percent(low)} to {_percent(high)}; "
        f"always saying the commonest class: {_percent(metrics.majority_baseline)}",
        ", ".join(known),
    ]


def table_text(metrics: ClassifierMetrics) -> str:
    """The summary, the overview, and a line for each class; "-" where a figure is undefined."""
    if not metrics.classes:
        return summary_line(metrics)
    averages = ("macro average", "weighted average")
    width = max(_width(label) for label in (*metrics.classes, *averages))
    rows = zip(metrics.classes, metrics.class_counts.tolist(), *_columns(metrics), strict=True)
    means = (
        (metrics.precision_macro, metrics.recall_macro, metrics.f1_macro, metrics.roc_auc_ovr),
        (metrics.precision_weighted, metrics.recall_weighted, metrics.f1_weighted, metrics.roc_auc_ovr_weighted),
    )
    lines = [summary_line(metrics), *overview_lines(metrics), "", f"label{' ' * (width - 5)}{_COLUMNS}"]
    lines += [_row(label, width, count, tuple(figures)) for label, count, *figures in rows]
    lines += [_row(name, width, metrics.count, figures) for name, figures in zip(averages, means, strict=True)]
    return "\n".join(lines)


def _columns(metrics: ClassifierMetrics) -> tuple[list[float], ...]:
    arrays = (metrics.precision, metrics.recall, metrics.f1, metrics.roc_auc)
    return tuple([float(value) for value in array] for array in arrays)


def _row(label: str, width: int, count: int, figures: tuple[float, ...]) -> str:
    precision, recall, f1, area = map(_figure, figures)
    padding = " " * (width - _width(label))
    return f"{label}{padding}  {count:>6}  {precision:>9}  {recall:>6}  {f1:>5}  {area:>5}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if math.isfinite(share) else "-"


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"


def _width(text: str) -> int:
    """Columns of a terminal: wide letters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
