"""A report as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlsession.errors import InternalError
from mlsession.session.phase import Array, Json

if TYPE_CHECKING:
    from mlsession.metrics.report import ClassifierMetrics

TOP = (1, 3, 5)
"""The k for which "top_k_accuracy" is spelled out; for any other it follows from "rank_counts"."""
_FIGURES = (
    "accuracy",
    "classification_error",
    "log_loss",
    "balanced_accuracy",
    "majority_baseline",
    "expected_calibration_error",
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
    """Every figure under its own name; those that are not finite are None.

    Read back are "classes", "confusion_matrix", "log_loss", "rank_counts", "expected_calibration_error", "error" and
    each class's "roc_auc": all else follows from them.
    """
    figures: dict[str, Json] = {name: _finite(getattr(metrics, name)) for name in _FIGURES}
    ranks: list[Json] | None = None if metrics.rank_counts is None else list(metrics.rank_counts.tolist())
    return {
        "error": metrics.error,
        "count": metrics.count,
        **figures,
        "accuracy_interval": [_finite(end) for end in metrics.accuracy_interval],
        "top_k_accuracy": {str(k): _finite(metrics.top_k_accuracy(k)) for k in TOP if k <= len(metrics.classes)},
        "classes": list(metrics.classes),
        "confusion_matrix": metrics.confusion_matrix.tolist(),
        "rank_counts": ranks,
        "per_class": _classes_json(metrics),
        "top_confusions": [dict(confusion.to_json()) for confusion in metrics.top_confusions()],
    }


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
    }
    return [
        {"label": label, **{name: column[place] for name, column in columns.items()}}
        for place, label in enumerate(metrics.classes)
    ]


def number(data: Mapping[str, Json], name: str) -> float:
    """A figure in the form of `report_json`. Raises `InternalError` for what is none."""
    value = data.get(name)
    if not isinstance(value, int | float | None):
        raise InternalError(f"metrics: {name} is {value!r}")
    return math.nan if value is None else float(value)


def areas_of(data: Mapping[str, Json]) -> Array | None:
    """float64 [K] of `report_json`'s classes; None where none of them is known."""
    listed = data.get("per_class")
    classes = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    areas = np.array([number(each, "roc_auc") for each in classes], dtype=np.float64)
    return areas if np.isfinite(areas).any() else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
