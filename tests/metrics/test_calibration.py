"""Calibration error and intervals, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlsession.metrics.calibration import calibration_table, expected_calibration_error, wilson_interval
from mlsession.randomness import keyed_generator


def test_the_error_is_that_of_its_definition() -> None:
    generator = keyed_generator(0, "calibration")
    confidence, correct = generator.uniform(0.2, 1.0, 500), generator.integers(0, 2, 500).astype(bool)
    expected = 0.0
    for low in np.arange(15):
        chosen = (confidence >= low / 15) & (confidence < (low + 1) / 15)
        if chosen.any():
            expected += chosen.sum() / 500 * abs(confidence[chosen].mean() - correct[chosen].mean())
    table = calibration_table(confidence, correct)
    assert expected_calibration_error(table) == pytest.approx(expected, abs=1e-9)
    halves = calibration_table(confidence[:77], correct[:77]) + calibration_table(confidence[77:], correct[77:])
    np.testing.assert_array_equal(halves, table)


def test_certainty_falls_into_the_last_bin() -> None:
    table = calibration_table(np.array([1.0, 1.0 + 1e-7, 0.0]), np.array([True, False, False]))
    assert table[-1].tolist() == [2, 1, 2**33]
    assert table[0].tolist() == [1, 0, 0]
    assert expected_calibration_error(table) == pytest.approx(1 / 3)
    assert math.isnan(expected_calibration_error(np.zeros((15, 3), dtype=np.int64)))


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    [
        (8, 10, 0.4901625, 0.9433178),
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (950, 1000, 0.9346786, 0.9618812),
    ],
)
def test_intervals_are_wilsons(correct: int, count: int, low: float, high: float) -> None:
    assert wilson_interval(correct, count) == pytest.approx((low, high), abs=1e-4)


def test_no_images_no_interval() -> None:
    assert all(math.isnan(end) for end in wilson_interval(0, 0))
