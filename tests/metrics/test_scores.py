"""Areas under ROC curves: scikit-learn's on the binned scores, to the last bit, and close to its on the raw ones."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from mlsession.errors import InternalError, InvalidParameter
from mlsession.metrics.scores import BINS, ScoreHistograms, score_bins
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array
from tests.metrics.rows import Rows, predicted_rows


def counted_area(is_positive: Array, scores: Array) -> float:
    """The share of pairs in order, a tie being half a one: the definition, pair by pair."""
    positive, negative = scores[is_positive], scores[~is_positive]
    if not len(positive) or not len(negative):
        return math.nan
    twice = sum(2 * int((negative < score).sum()) + int((negative == score).sum()) for score in positive)
    return float(Fraction(twice, 2 * len(positive) * len(negative)))


@settings(max_examples=60, deadline=None)
@given(rows=predicted_rows())
def test_areas_are_exact_on_binned_scores(rows: Rows) -> None:
    truth, probabilities = rows
    classes = probabilities.shape[1]
    areas = ScoreHistograms.zero(classes).add(truth, probabilities).areas()
    bins = score_bins(probabilities)
    for place in range(classes):
        counted = counted_area(truth == place, bins[:, place])
        np.testing.assert_equal(areas[place], counted)
        if not math.isnan(counted):
            expected = oracle.roc_auc_score(truth == place, bins[:, place])
            assert areas[place] == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(("classes", "margin"), [(2, 1.0), (10, 2.0), (60, 4.0)])
def test_areas_are_close_to_those_of_raw_scores(classes: int, margin: float) -> None:
    generator = keyed_generator(classes, "scores")
    truth = generator.integers(0, classes, 3000)
    logits = 2 * generator.normal(size=(3000, classes))
    logits[np.arange(3000), truth] += margin
    powers = np.exp(logits)
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    areas = ScoreHistograms.zero(classes).add(truth, probabilities).areas()
    expected = oracle.roc_auc_score(np.eye(classes)[truth], probabilities, average=None)
    np.testing.assert_allclose(areas, expected, atol=5e-4)


@given(scores=st.lists(st.floats(0, 1, allow_subnormal=True), min_size=2, max_size=50))
def test_bins_ascend_with_the_score(scores: list[float]) -> None:
    ascending = np.array(sorted(scores))
    bins = score_bins(ascending)
    assert (np.diff(bins) >= 0).all()
    assert bins.min() >= 0
    assert bins.max() < BINS


@given(units=st.integers(2**7, 5 * 10**11))
def test_scores_that_differ_by_a_sixteenth_differ_in_their_bins(units: int) -> None:
    score = units / 2**40  # Down to 2^-33, and such that all that follows is exact.
    low, high = score_bins(np.array([score, score * 17 / 16])), score_bins(np.array([1 - score, 1 - score * 17 / 16]))
    assert low[0] < low[1]
    assert high[0] > high[1]
    assert (low + high == BINS - 1).all()


def test_the_ends_of_the_scale() -> None:
    assert score_bins(np.array([0.0, 2.0**-40, 0.5, 1.0, 1.0 + 1e-7])).tolist() == [0, 0, BINS // 2, BINS - 1, BINS - 1]
    assert score_bins(np.array([0.25], dtype=np.float32)) == score_bins(np.array([0.25]))


@settings(max_examples=30, deadline=None)
@given(rows=predicted_rows(), cut=st.integers(0, 40))
def test_merging_is_adding(rows: Rows, cut: int) -> None:
    truth, probabilities = rows
    zero = ScoreHistograms.zero(probabilities.shape[1])
    whole = zero.add(truth, probabilities)
    first, second = zero.add(truth[:cut], probabilities[:cut]), zero.add(truth[cut:], probabilities[cut:])
    for merged in (first.merge(second), second.merge(first), first.add(truth[cut:], probabilities[cut:])):
        np.testing.assert_array_equal(merged.positives, whole.positives)
        np.testing.assert_array_equal(merged.negatives, whole.negatives)


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(InvalidParameter):
        ScoreHistograms.zero(2).merge(ScoreHistograms.zero(3))
    with pytest.raises(InternalError):
        ScoreHistograms(positives=np.zeros((2, BINS), dtype=np.int64), negatives=np.zeros((2, 5), dtype=np.int64))
