"""Calibration error and intervals, against their definitions."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from mlsession.metrics.bootstrap import calibration_interval, chance_calibration_error
from mlsession.metrics.calibration import (
    calibration_table,
    expected_calibration_error,
    maximum_calibration_error,
    reliability_bins,
)
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


def test_agrees_with_torchmetrics() -> None:
    generator = keyed_generator(1, "calibration")
    probabilities = generator.dirichlet([0.4] * 5, 400)
    truth = np.array([generator.choice(5, p=row) for row in probabilities])
    table = calibration_table(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth)
    of_torch = partial(
        multiclass_calibration_error, torch.from_numpy(probabilities), torch.from_numpy(truth), num_classes=5, n_bins=15
    )
    assert expected_calibration_error(table) == pytest.approx(float(of_torch(norm="l1")), abs=1e-6)
    assert maximum_calibration_error(table) == pytest.approx(float(of_torch(norm="max")), abs=1e-6)


def test_bins_say_how_often_their_images_are_right() -> None:
    table = calibration_table(np.array([0.95, 1.0, 0.97, 0.5]), np.array([True, True, False, False]))
    bins = reliability_bins(table)
    assert len(bins) == 15
    assert [(each.count, each.correct) for each in bins if each.count] == [(1, 0), (3, 2)]
    last = bins[-1]
    assert (last.low, last.high, last.accuracy) == (14 / 15, 1.0, 2 / 3)
    assert last.confidence == pytest.approx((0.95 + 1.0 + 0.97) / 3)
    assert last.accuracy_interval == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert math.isnan(bins[0].accuracy)
    assert math.isnan(bins[0].confidence)
    assert math.isnan(maximum_calibration_error(np.zeros((15, 3), dtype=np.int64)))


def told(count: int, sharpness: float, key: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and whether each is right: with that probability once its logit is divided by `sharpness`."""
    generator = keyed_generator(key, "told")
    confidence = 0.5 + 0.5 * generator.beta(3.0, 1.0, count)
    logits = np.log(confidence / (1 - confidence + 1e-12)) / sharpness
    return confidence, generator.random(count) < 1 / (1 + np.exp(-logits))


def test_chance_is_told_from_a_fault() -> None:
    """Of true confidences 5 in 100 are blamed, of twice too sure ones nearly all; and intervals hold what is true."""
    blamed = {1.0: 0, 2.0: 0}
    held = {1.0: 0, 2.0: 0}
    for sharpness in blamed:
        confidence, right = told(400_000, sharpness, 10_000)
        true = 0.0 if sharpness == 1.0 else expected_calibration_error(calibration_table(confidence, right))
        for key in range(40):
            table = calibration_table(*told(200, sharpness, key))
            blamed[sharpness] += expected_calibration_error(table) > chance_calibration_error(table)
            low, high = calibration_interval(table)
            held[sharpness] += low <= true <= high
    assert blamed[1.0] <= 6
    assert blamed[2.0] >= 36
    assert min(held.values()) >= 33
    nothing = np.zeros((15, 3), dtype=np.int64)
    assert all(math.isnan(end) for end in (*calibration_interval(nothing), chance_calibration_error(nothing)))


def test_a_hundred_images_without_a_mistake_do_not_prove_the_confidences() -> None:
    """All 100 of a confidence of 0.9999 are right; were 1 in 100 wrong, 37 of 100 such samples would look so."""
    low, high = calibration_interval(calibration_table(np.full(100, 0.9999), np.ones(100, dtype=np.bool_)))
    assert low == 0.0
    assert high > 0.01
