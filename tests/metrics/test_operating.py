"""Thresholds: what is said at each is exactly so of the images counted, and what cannot be reached is said."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from mlsession.errors import InvalidParameter, UsageError
from mlsession.metrics.evaluation import EvaluationSums
from mlsession.metrics.operating import operating_points, rejections
from mlsession.metrics.report import ClassifierMetrics
from mlsession.metrics.scores import BINS, bin_floor, score_bins
from mlsession.randomness import keyed_generator
from tests.metrics.rows import Rows, predicted_rows


def evaluated(rows: Rows) -> ClassifierMetrics:
    truth, probabilities = rows
    classes = probabilities.shape[1]
    sums = EvaluationSums.zero(classes).add(truth, probabilities)
    return ClassifierMetrics.of(sums, tuple(f"c{place}" for place in range(classes)))


def guesses(count: int, classes: int, margin: float) -> Rows:
    generator = keyed_generator(count, "guesses")
    truth = generator.integers(0, classes, count)
    logits = generator.normal(size=(count, classes))
    logits[np.arange(count), truth] += margin
    powers = np.exp(logits)
    return truth, powers / powers.sum(axis=1, keepdims=True)


def test_a_floor_is_the_smallest_score_of_its_bin() -> None:
    places = np.arange(BINS)
    floors = np.array([bin_floor(place) for place in places.tolist()])
    np.testing.assert_array_equal(score_bins(floors), places)
    np.testing.assert_array_equal(score_bins(np.nextafter(floors[1:], 0.0)), places[1:] - 1)


@settings(max_examples=40, deadline=None)
@given(rows=predicted_rows())
def test_points_are_true_of_the_images(rows: Rows) -> None:
    truth, probabilities = rows
    report = evaluated(rows)
    for place, label in enumerate(report.classes):
        is_class = truth == place
        if not is_class.any():
            with pytest.raises(InvalidParameter, match="none of the images"):
                report.operating_points(label)
            continue
        points = report.operating_points(label)
        assert [point.threshold for point in points] == sorted({point.threshold for point in points}, reverse=True)
        for point in points:
            gets = probabilities[:, place] >= point.threshold
            expected = (int(gets.sum()), int((gets & is_class).sum()), int(is_class.sum()))
            assert (point.count, point.correct, point.total) == expected
            assert point.recall_interval[0] <= point.recall <= point.recall_interval[1]
        assert (points[-1].count, points[-1].recall) == (len(truth), 1.0)


@settings(max_examples=40, deadline=None)
@given(rows=predicted_rows(), least=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]))
def test_a_threshold_is_the_best_there_is(rows: Rows, least: float) -> None:
    report = evaluated(rows)
    for label, count in zip(report.classes, report.class_counts.tolist(), strict=True):
        if not count:
            continue
        points = report.operating_points(label)
        for_recall = report.threshold(label, min_recall=least)
        assert for_recall.recall >= least
        assert for_recall.precision == max(point.precision for point in points if point.recall >= least)
        fitting = [point for point in points if point.precision >= least and point.correct]
        if not fitting:
            with pytest.raises(InvalidParameter, match="the best is"):
                report.threshold(label, min_precision=least)
            continue
        found = report.threshold(label, min_precision=least)
        assert found.precision >= least
        assert found.recall == max(point.recall for point in fitting)
        assert found.precision == max(point.precision for point in fitting if point.recall == found.recall)


@settings(max_examples=40, deadline=None)
@given(rows=predicted_rows(), most=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_rejecting_is_true_of_the_images(rows: Rows, most: float) -> None:
    truth, probabilities = rows
    report = evaluated(rows)
    if not len(truth):
        with pytest.raises(UsageError, match="no images"):
            report.reject(max_error=most)
        return
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != truth
    points = report.rejections()
    for point in points:
        kept = confidence >= point.threshold
        assert (point.count, point.wrong, point.total) == (kept.sum(), (kept & wrong).sum(), len(truth))
        assert point.error_interval[0] <= point.error <= point.error_interval[1]
    assert (points[-1].threshold, points[-1].coverage) == (0.0, 1.0)
    fitting = [point for point in points if point.error <= most]
    if fitting:
        assert report.reject(max_error=most).coverage == max(point.coverage for point in fitting)
    else:
        with pytest.raises(InvalidParameter, match="no threshold reaches it"):
            report.reject(max_error=most)


def test_points_are_scikit_learns_curve() -> None:
    truth, probabilities = guesses(300, 3, 1.0)
    points = evaluated((truth, probabilities)).operating_points("c1")[::-1]
    precision, recall, bins = oracle.precision_recall_curve(truth == 1, score_bins(probabilities[:, 1]))
    thresholds = score_bins(np.array([point.threshold for point in points]))
    assert (thresholds[1:] > bins[:-1]).all()
    assert (thresholds <= bins).all()
    np.testing.assert_allclose([point.precision for point in points], precision[:-1])
    np.testing.assert_allclose([point.recall for point in points], recall[:-1])


def test_rejecting_what_is_unsure_leaves_fewer_mistakes() -> None:
    report = evaluated(guesses(600, 4, 1.5))
    sure = report.reject(max_error=0.05)
    assert sure.error <= 0.05 < report.classification_error
    assert 0.1 < sure.coverage < 1.0
    assert report.reject(max_error=1.0).threshold == 0.0
    frame = report.risk_coverage
    assert list(frame.columns) == ["Threshold", "Coverage", "Error", "Error Low", "Error High", "Count", "Wrong"]
    row = frame[frame["Threshold"] == sure.threshold].iloc[0]
    assert (row["Coverage"], row["Error"]) == (sure.coverage, sure.error)
    assert json.loads(json.dumps(sure.to_json()))["error_interval"] == list(sure.error_interval)


def test_what_is_no_question() -> None:
    report = evaluated(guesses(50, 3, 1.0))
    for asked in ({}, {"min_precision": 0.5, "min_recall": 0.5}, {"min_precision": 1.5}, {"min_recall": math.nan}):
        with pytest.raises(InvalidParameter):
            report.threshold("c1", **asked)
    with pytest.raises(InvalidParameter, match="c0, c1, c2"):
        report.threshold("cat", min_recall=0.5)
    for wrong in (-0.1, True, None, "0.1"):
        with pytest.raises(InvalidParameter, match="must lie from 0 to 1"):
            report.reject(max_error=wrong)  # type: ignore[arg-type]
    read = ClassifierMetrics.from_json(json.loads(json.dumps(report.to_json())))
    with pytest.raises(UsageError, match="evaluate the classifier anew"):
        read.threshold("c1", min_precision=0.5)
    assert read.reject(max_error=0.2) == report.reject(max_error=0.2)


def test_points_go_down_bin_by_bin() -> None:
    ones, others = np.zeros(BINS, dtype=np.int64), np.zeros(BINS, dtype=np.int64)
    ones[[700, 900]], others[[700, 300]] = (2, 5), (1, 4)
    points = operating_points("x", ones, others)
    assert [(point.count, point.correct, point.total) for point in points] == [(5, 5, 7), (8, 7, 7), (12, 7, 7)]
    # About halfway between the bins, and with few digits.
    assert score_bins(np.array([point.threshold for point in points])) == pytest.approx([800, 500, 0], abs=16)
    assert max(len(repr(point.threshold)) for point in points) < 10
    assert [(each.count, each.wrong) for each in rejections(np.stack([others, ones]))] == [(5, 0), (8, 1), (12, 5)]
    assert points[1].to_json()["precision"] == 7 / 8


def test_what_cannot_be_met_is_said_with_the_best_there_is() -> None:
    """The surest image of c0 is one of c1."""
    truth = np.array([1, 0, 0, 1])
    of_first = np.array([0.9, 0.8, 0.7, 0.1])
    report = evaluated((truth, np.stack([of_first, 1 - of_first], axis=1)))
    with pytest.raises(InvalidParameter, match=r"'c0' on these 2 images of it; the best is 0\.667, from 0\.\d+ on"):
        report.threshold("c0", min_precision=0.95)
    with pytest.raises(InvalidParameter, match=r"no threshold reaches it on these 4 images; the least is 0\.250"):
        report.reject(max_error=0.0)
