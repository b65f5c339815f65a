"""Reliability diagrams: a dot for each bin that has images, where its accuracy is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.patches import Rectangle

from mlsession.errors import InvalidParameter, UsageError
from mlsession.metrics.calibration import calibration_table
from mlsession.metrics.report import ClassifierMetrics
from mlsession.plots.reliability import plot_reliability


@pytest.fixture
def metrics() -> ClassifierMetrics:
    """10 images with a confidence of 0.9, 8 of them right, and 4 with one of 0.5, all right."""
    confidence, right = np.repeat([0.9, 0.5], [10, 4]), np.arange(14) >= 2
    matrix = np.array([[12, 2], [0, 0]], dtype=np.int64)
    table = calibration_table(confidence, right)
    return ClassifierMetrics(classes=("a", "b"), confusion_matrix=matrix, log_loss=0.5, calibration_table=table)


def test_dots_stand_where_the_accuracy_is(metrics: ClassifierMetrics, tmp_path: Path) -> None:
    upper, lower = plot_reliability(metrics, tmp_path / "r.png").axes
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    (bars,) = (each for each in upper.containers if isinstance(each, ErrorbarContainer))
    dots = bars.lines[0]
    assert np.asarray(dots.get_xdata()).tolist() == pytest.approx([0.5, 0.9])
    assert np.asarray(dots.get_ydata()).tolist() == pytest.approx([1.0, 0.8])
    heights = [patch.get_height() for patch in lower.patches if isinstance(patch, Rectangle)]
    assert heights == [4, 10]
    assert "on 14 images" in upper.get_title(loc="left")


def test_what_cannot_be_drawn(metrics: ClassifierMetrics, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter):
        plot_reliability(metrics, tmp_path / "r.txt")
    with pytest.raises(UsageError, match="no confidences"):
        plot_reliability(ClassifierMetrics.invalid("nothing was evaluated"))
