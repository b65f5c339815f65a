"""What was measured of a model, in Markdown: by part, by class, what is confused, what to believe; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mlsession.cards.markdown import escaped, escaped_label, table
from mlsession.metrics.report import ClassifierMetrics
from mlsession.metrics.text import calibration_line
from mlsession.phases.evaluated import PARTS

MOST_CLASSES = 40
"""Rows of the table by class; of more classes those with the lowest F1."""
MOST_PAIRS = 5
FEW_IMAGES = 10
"""Of a class with fewer images measured its own figures say little."""

_BY_WORTH = tuple(reversed(PARTS))
"""From the part that says most about other images."""


def best_part(metrics: Mapping[str, ClassifierMetrics]) -> str | None:
    """The part whose figures are most to be expected of other images; None without any."""
    return next((part for part in _BY_WORTH if part in metrics and metrics[part].count), None)


def measured_lines(metrics: Mapping[str, ClassifierMetrics]) -> list[str]:
    """All of the section; [] where nothing was measured."""
    part = best_part(metrics)
    if part is None:
        return []
    best = metrics[part]
    lines = ["In brackets 95 % intervals, as if the images had been drawn independently.", ""]
    if part == "training":
        lines = ["**Only on images that it was trained on: of others expect less.**", "", *lines]
    lines += _parts_table(metrics)
    lines += ["", *_baseline(best, part)]
    if calibration := calibration_line(best):
        lines += ["", f"Confidences on the {part} images: {escaped(calibration)}."]
    lines += ["", f"### By class, {part} images", "", *_class_table(best)]
    if pairs := best.top_confusions(MOST_PAIRS):
        said = (
            f"{escaped_label(each.label)} taken for {escaped_label(each.predicted)} ({each.count:,})" for each in pairs
        )
        lines += ["", f"Most often confused: {', '.join(said)}."]
    return lines


def count_lines(classes: Sequence[str], metrics: Mapping[str, ClassifierMetrics]) -> list[str]:
    """A table of the classes, with the images of each that were used; of many classes their names alone."""
    parts = [part for part in PARTS if part in metrics and metrics[part].count]
    if not parts or len(classes) > MOST_CLASSES:
        shown = ", ".join(escaped_label(label) for label in classes[:MOST_CLASSES])
        more = f", and {len(classes) - MOST_CLASSES:,} more, in `labels.json`" if len(classes) > MOST_CLASSES else ""
        return [f"{len(classes):,} classes: {shown}{more}."]
    counts = [metrics[part].class_counts.tolist() for part in parts]
    rows = [[escaped_label(label), *(f"{each[place]:,}" for each in counts)] for place, label in enumerate(classes)]
    return table(["class", *(f"{part} images" for part in parts)], rows)


def few_images(metrics: ClassifierMetrics) -> list[str]:
    """The classes of which so few images were measured that their figures say little, none at all included."""
    return [
        label for label, count in zip(metrics.classes, metrics.class_counts.tolist(), strict=True) if count < FEW_IMAGES
    ]


def _parts_table(metrics: Mapping[str, ClassifierMetrics]) -> list[str]:
    header = ["images", "accuracy", "balanced accuracy", "macro F1", "ROC AUC", "log loss", "calibration error"]
    rows = []
    for part in _BY_WORTH:
        if part in metrics and metrics[part].count:
            each = metrics[part]
            macro = each.macro_intervals
            rows.append(
                [
                    f"{part}: {each.count:,}",
                    f"{_percent(each.accuracy)} ({_percents(each.accuracy_interval)})",
                    f"{_percent(each.balanced_accuracy)} ({_percents(macro.balanced_accuracy)})",
                    _with_ends(each.f1_macro, macro.f1_macro),
                    _with_ends(each.roc_auc_ovr, each.roc_auc_ovr_interval),
                    _with_ends(each.log_loss, each.log_loss_interval, digits=3),
                    _figure(each.expected_calibration_error),
                ]
            )
    return table(header, rows)


def _baseline(metrics: ClassifierMetrics, part: str) -> list[str]:
    always = f"Always saying the commonest class of the {part} images: {_percent(metrics.majority_baseline)}."
    if metrics.beats_baseline:
        return [always]
    low, high = metrics.gain_over_baseline_interval
    return [f"{always} **It is not shown that the model is better:** the gain is from {_percents((low, high))}."]


def _class_table(metrics: ClassifierMetrics) -> list[str]:
    order = list(range(len(metrics.classes)))
    if len(order) > MOST_CLASSES:
        # Undefined ones come last.
        order = np.argsort(np.nan_to_num(metrics.f1, nan=2.0), kind="stable")[:MOST_CLASSES].tolist()
    counts, figures = metrics.class_counts.tolist(), (metrics.precision, metrics.recall, metrics.f1)
    ends = (metrics.precision_interval, metrics.recall_interval, metrics.f1_interval)
    rows = [
        [
            escaped_label(metrics.classes[place]),
            f"{counts[place]:,}",
            *(
                _with_ends(float(values[place]), interval[place].tolist())
                for values, interval in zip(figures, ends, strict=True)
            ),
        ]
        for place in order
    ]
    lines = table(["class", "images", "precision", "recall", "F1"], rows)
    left = len(metrics.classes) - len(order)
    return [*lines, "", f"And {left:,} classes with a higher F1, in `metrics.json`."] if left else lines


def _with_ends(value: float, interval: Sequence[float], digits: int = 2) -> str:
    low, high = interval
    return (
        f"{_figure(value)} ({low:.{digits}f} to {high:.{digits}f})"
        if math.isfinite(value) and math.isfinite(low)
        else "-"
    )


def _percents(interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * low:.1f} to {100 * high:.1f} %" if math.isfinite(low) else "-"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if math.isfinite(share) else "-"


def _figure(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"
