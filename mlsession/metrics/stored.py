"""A report as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsession.errors import InternalError
from mlsession.metrics.calibration import ReliabilityBin
from mlsession.metrics.operating import within_error
from mlsession.metrics.scores import BINS
from mlsession.session.phase import Array, Json

if TYPE_CHECKING:
    from mlsession.metrics.report import ClassifierMetrics

TOP = (1, 3, 5)
"""The k for which "top_k_accuracy" is spelled out; for any other it follows from "rank_counts"."""
ERRORS = (0.01, 0.02, 0.05, 0.1)
"""The shares of wrong answers for which "rejections" is spelled out; others follow from "confidence_counts"."""
_FIGURES = (
    "accuracy",
    "classification_error",
    "log_loss",
    "balanced_accuracy",
    "majority_baseline",
    "gain_over_baseline",
    "log_loss_deviation",
    "brier_score",
    "expected_calibration_error",
    "maximum_calibration_error",
    "chance_calibration_error",
    "precision_micro",
    "recall_micro",
    "f1_micro",
    "precision_macro",
    "recall_macro",
    "f1_macro",
    "precision_weighted",
    "recall_weighted",
    "f1_weighted",
    "roc_auc_ovr",
    "roc_auc_ovr_weighted",
)


def report_json(metrics: ClassifierMetrics) -> dict[str, Json]:
    """Every figure under its own name, intervals as [lower, upper]; what is not finite is None.

    Read back are "classes", "confusion_matrix", "log_loss", "log_loss_deviation", "brier_score", "rank_counts",
    "calibration_table", "confidence_counts", "error" and each class's "roc_auc": all else follows from them.
    """
    figures: dict[str, Json] = {name: _finite(getattr(metrics, name)) for name in _FIGURES}
    ranks: list[Json] | None = None if metrics.rank_counts is None else list(metrics.rank_counts.tolist())
    table: list[Json] | None = None if metrics.calibration_table is None else metrics.calibration_table.tolist()
    return {
        "error": metrics.error,
        "count": metrics.count,
        **figures,
        **_intervals_json(metrics),
        "baseline_label": metrics.baseline_label,
        "beats_baseline": metrics.beats_baseline,
        "top_k_accuracy": {str(k): _finite(metrics.top_k_accuracy(k)) for k in TOP if k <= len(metrics.classes)},
        "classes": list(metrics.classes),
        "confusion_matrix": metrics.confusion_matrix.tolist(),
        "rank_counts": ranks,
        "per_class": _classes_json(metrics),
        "top_confusions": [dict(confusion.to_json()) for confusion in metrics.top_confusions()],
        "calibration_table": table,
        "reliability": [_bin_json(each) for each in metrics.reliability_bins],
        "confidence_counts": _counts_json(metrics.confidence_counts),
        "rejections": _rejections_json(metrics),
    }


def fields_of(data: Mapping[str, Json]) -> dict[str, Any]:
    """The fields of `ClassifierMetrics` that `report_json` says. Raises `InternalError` for another form."""
    classes, matrix, ranks, table = (
        data.get(name) for name in ("classes", "confusion_matrix", "rank_counts", "calibration_table")
    )
    lists = isinstance(ranks, list | None) and isinstance(table, list | None)
    if not isinstance(classes, list) or not isinstance(matrix, list) or not lists:
        raise InternalError("metrics: no classes, confusion_matrix, rank_counts or calibration_table")
    error = data.get("error")
    return {
        "classes": tuple(map(str, classes)),
        "confusion_matrix": np.array(matrix, dtype=np.int64).reshape(len(classes), -1 if classes else 0),
        "log_loss": _number(data, "log_loss"),
        "log_loss_deviation": _number(data, "log_loss_deviation"),
        "brier_score": _number(data, "brier_score"),
        "rank_counts": None if ranks is None else np.array(ranks, dtype=np.int64),
        "areas": _areas_of(data),
        "calibration_table": None if table is None else np.array(table, dtype=np.int64),
        "confidence_counts": _counts_of(data.get("confidence_counts")),
        "error": None if error is None else str(error),
    }


def _intervals_json(metrics: ClassifierMetrics) -> dict[str, Json]:
    macro = metrics.macro_intervals
    found = {
        "accuracy_interval": metrics.accuracy_interval,
        "gain_over_baseline_interval": metrics.gain_over_baseline_interval,
        "balanced_accuracy_interval": macro.balanced_accuracy,
        "f1_macro_interval": macro.f1_macro,
        "log_loss_interval": metrics.log_loss_interval,
        "roc_auc_ovr_interval": metrics.roc_auc_ovr_interval,
        "expected_calibration_error_interval": metrics.expected_calibration_error_interval,
    }
    return {name: _ends(interval) for name, interval in found.items()}


def _bin_json(each: ReliabilityBin) -> dict[str, Json]:
    return {
        "low": each.low,
        "high": each.high,
        "count": each.count,
        "correct": each.correct,
        "confidence": _finite(each.confidence),
        "accuracy": _finite(each.accuracy),
        "accuracy_interval": _ends(each.accuracy_interval),
    }


def _counts_json(counts: Array | None) -> dict[str, Json] | None:
    """The bins that hold images."""
    if counts is None:
        return None
    places = np.flatnonzero(counts.sum(axis=0))
    return {
        "bins": list(places.tolist()),
        "wrong": list(counts[0, places].tolist()),
        "right": list(counts[1, places].tolist()),
    }


def _counts_of(data: Json) -> Array | None:
    if data is None:
        return None
    if not isinstance(data, dict) or not all(isinstance(data.get(name), list) for name in ("bins", "wrong", "right")):
        raise InternalError("metrics: confidence_counts hold no bins, wrong and right")
    counts = np.zeros((2, BINS), dtype=np.int64)
    counts[:, np.array(data["bins"], dtype=np.int64)] = np.array([data["wrong"], data["right"]], dtype=np.int64)
    return counts


def _rejections_json(metrics: ClassifierMetrics) -> dict[str, Json]:
    """By the most that may be wrong; null where no threshold does."""
    if metrics.confidence_counts is None or not metrics.count:
        return {}
    points = metrics.rejections()
    best = {error: within_error(points, error) for error in ERRORS}
    return {str(error): None if point is None else point.to_json() for error, point in best.items()}


def _classes_json(metrics: ClassifierMetrics) -> list[Json]:
    columns: dict[str, list[Json]] = {
        "count": list(metrics.class_counts.tolist()),
        "precision": [_finite(value) for value in metrics.precision.tolist()],
        "recall": [_finite(value) for value in metrics.recall.tolist()],
        "f1": [_finite(value) for value in metrics.f1.tolist()],
        "roc_auc": [_finite(value) for value in metrics.roc_auc.tolist()],
        "true_positives": list(metrics.true_positives.tolist()),
        "false_positives": list(metrics.false_positives.tolist()),
        "false_negatives": list(metrics.false_negatives.tolist()),
        "true_negatives": list(metrics.true_negatives.tolist()),
        "precision_interval": [_ends(interval) for interval in metrics.precision_interval.tolist()],
        "recall_interval": [_ends(interval) for interval in metrics.recall_interval.tolist()],
        "f1_interval": [_ends(interval) for interval in metrics.f1_interval.tolist()],
        "roc_auc_interval": [_ends(interval) for interval in metrics.roc_auc_interval.tolist()],
    }
    return [
        {"label": label, **{name: column[place] for name, column in columns.items()}}
        for place, label in enumerate(metrics.classes)
    ]


def _number(data: Mapping[str, Json], name: str) -> float:
    """A figure in the form of `report_json`. Raises `InternalError` for what is none."""
    value = data.get(name)
    if not isinstance(value, int | float | None):
        raise InternalError(f"metrics: {name} is {value!r}")
    return math.nan if value is None else float(value)


def _areas_of(data: Mapping[str, Json]) -> Array | None:
    """float64 [K] of `report_json`'s classes; None where none of them is known."""
    listed = data.get("per_class")
    classes = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    areas = np.array([_number(each, "roc_auc") for each in classes], dtype=np.float64)
    return areas if np.isfinite(areas).any() else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _ends(interval: Sequence[float]) -> list[Json]:
    return [_finite(end) for end in interval]
