"""What a training came to, as loggers take it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mlsession.metrics.report import ClassifierMetrics
from mlsession.training.outcome import Trained

FIGURES = ("accuracy", "balanced_accuracy", "f1_macro", "log_loss", "expected_calibration_error")
"""Properties of `ClassifierMetrics`."""


def concluding(trained: Trained) -> tuple[dict[str, float], int]:
    """The figures of each part that was evaluated, and the training iteration that they are of."""
    return figures_of(trained.metrics), max(map(len, trained.history.values()), default=0)


def figures_of(metrics: Mapping[str, ClassifierMetrics]) -> dict[str, float]:
    """As `evaluation/validation_accuracy`; those that are undefined are left out."""
    pairs = [(part, each, name) for part, each in metrics.items() for name in FIGURES]
    found = {f"evaluation/{part}_{name}": float(getattr(each, name)) for part, each, name in pairs}
    return {name: value for name, value in found.items() if math.isfinite(value)}
