"""A report in words: one line, an overview, or a table of the classes; pure."""

from __future__ import annotations

import math
import unicodedata
from typing import TYPE_CHECKING

from mlsession.metrics.intervals import Interval

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
    """What one accuracy does not tell, with 95 % intervals in brackets; nothing without images.

    Figures that are not known are left out.
    """
    if not metrics.count:
        return []
    macro, (low, high) = metrics.macro_intervals, metrics.accuracy_interval
    balanced = f"({100 * macro.balanced_accuracy[0]:.1f} to {100 * macro.balanced_accuracy[1]:.1f})"
    means = [
        f"balanced accuracy {_percent(metrics.balanced_accuracy)} {balanced}",
        f"macro f1 {_figure(metrics.f1_macro)} {_range(macro.f1_macro)}",
    ]
    orders = []
    if math.isfinite(metrics.roc_auc_ovr):
        orders.append(f"auc {_figure(metrics.roc_auc_ovr)} {_range(metrics.roc_auc_ovr_interval)}")
    if len(metrics.classes) > 5 and metrics.rank_counts is not None:
        orders.append(f"top-5 accuracy {_percent(metrics.top_k_accuracy(5))}")
    lines = [
        f"95 % interval {_percent(low)} to {_percent(high)}; "
        f"always saying the commonest class: {_percent(metrics.majority_baseline)}",
        *_baseline_lines(metrics),
        ", ".join(means),
        ", ".join(orders),
        calibration_line(metrics),
    ]
    return [line for line in lines if line]


def calibration_line(metrics: ClassifierMetrics) -> str:
    """Whether confidences can be believed, in one line; "" where that is not known."""
    error, chance = metrics.expected_calibration_error, metrics.chance_calibration_error
    if not math.isfinite(error):
        return ""
    line = f"calibration error {_figure(error)} (up to {_figure(chance)} would be chance)"
    if error > chance:
        gaps = [(each.accuracy - each.confidence) * each.count for each in metrics.reliability_bins if each.count]
        line += f": it is {'less' if math.fsum(gaps) > 0 else 'more'} sure than right"
    return line


def table_text(metrics: ClassifierMetrics) -> str:
    """The summary, the overview, and a line for each class; "-" where a figure is undefined."""
    if not metrics.classes:
        return summary_line(metrics)
    averages = average_rows(metrics)
    width = max(_width(label) for label in (*metrics.classes, *(name for name, _ in averages)))
    rows = zip(metrics.classes, metrics.class_counts.tolist(), *_columns(metrics), strict=True)
    lines = [summary_line(metrics), *overview_lines(metrics), "", f"label{' ' * (width - 5)}{_COLUMNS}"]
    lines += [_row(label, width, count, tuple(figures)) for label, count, *figures in rows]
    lines += [_row(name, width, metrics.count, figures) for name, figures in averages]
    return "\n".join(lines)


def average_rows(metrics: ClassifierMetrics) -> list[tuple[str, tuple[float, float, float, float]]]:
    """The kinds of averages over classes: precision, recall, F1 and area of each."""
    micro = (metrics.precision_micro, metrics.recall_micro, metrics.f1_micro, math.nan)
    macro = (metrics.precision_macro, metrics.recall_macro, metrics.f1_macro, metrics.roc_auc_ovr)
    weighted = (
        *(metrics.precision_weighted, metrics.recall_weighted),
        *(metrics.f1_weighted, metrics.roc_auc_ovr_weighted),
    )
    return [("micro average", micro), ("macro average", macro), ("weighted average", weighted)]


def _baseline_lines(metrics: ClassifierMetrics) -> list[str]:
    """In words, where it is not clear that the classifier is better than a guess."""
    if metrics.beats_baseline:
        return []
    if int((metrics.class_counts > 0).sum()) == 1:
        return ["all images are of one class: they cannot show whether it tells classes apart"]
    low, high = metrics.gain_over_baseline_interval
    said = "it does worse than that" if high < 0 else "these images do not show that it beats that"
    return [f"{said}: the gain is {_percent(metrics.gain_over_baseline)} ({100 * low:.1f} to {100 * high:.1f})"]


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


def _range(interval: Interval) -> str:
    return f"({interval[0]:.2f} to {interval[1]:.2f})"


def _width(text: str) -> int:
    """Columns of a terminal: wide letters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
