"""The learning curve by number of images, as it is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlsession.curves.curve import CurvePoint, Estimate, LearningCurve, Projection, Trend
from mlsession.errors import InvalidParameter
from mlsession.plots.learning import CLASS_COLOURS, plot_learning_curve


def made(classes: int, projections: int = 3) -> LearningCurve:
    """Accuracy rises with the images, and the later a class, the lower its recall; one label is no plain text."""

    def estimate(value: float) -> Estimate:
        return Estimate(value=value, low=value - 0.02, high=value + 0.01)

    points = tuple(
        CurvePoint(
            images=float(images),
            images_per_class=images / classes,
            accuracy=0.7 + images / 1_000,
            accuracy_error=0.01,
            log_loss=0.5,
            log_loss_error=0.02,
            recall=tuple(0.9 - place / 20 for place in range(classes)),
        )
        for images in (40, 57, 80, 113, 160)
    )
    factors = (1.5, 2.0, 4.0)[:projections]
    return LearningCurve(
        url="",
        images=200,
        sampled=200,
        classes=("$cup\n", *(f"class {place}" for place in range(1, classes))),
        unjudged=(),
        repeats=4,
        points=points,
        trend=Trend.RISING,
        now=estimate(0.88),
        projections=tuple(
            Projection(factor=each, images=round(200 * each), accuracy=estimate(0.9), gain=estimate(0.02))
            for each in factors
        ),
        needed=(),
        outlook=(),
    )


def test_it_shows_what_was_measured_what_is_expected_and_the_hardest_classes() -> None:
    curve = made(classes=7)
    accuracy, recalls = plot_learning_curve(curve).axes
    drawn = {line.get_label(): np.array(line.get_xydata()).tolist() for line in accuracy.get_lines()}
    assert drawn["expected"] == [[200, 0.88], [300, 0.9], [400, 0.9], [800, 0.9]]
    lines = [np.array(line.get_xydata()).tolist() for line in accuracy.get_lines()]
    assert [[point.images, point.accuracy] for point in curve.points] in lines
    legend = recalls.get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["class 6", "class 5", "class 4", "class 3"][: len(CLASS_COLOURS)]
    assert len(recalls.get_lines()) == len(CLASS_COLOURS)
    for axes in (accuracy, recalls):
        assert axes.get_ylim()[1] == 1.0
        assert axes.get_xlabel() == "training images"


def test_it_is_written_also_where_little_is_known(tmp_path: Path) -> None:
    plot_learning_curve(made(classes=2, projections=0), tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").read_bytes().startswith(b"<?xml")
    with pytest.raises(InvalidParameter, match="must end in"):
        plot_learning_curve(made(classes=2), tmp_path / "curve.gif")
