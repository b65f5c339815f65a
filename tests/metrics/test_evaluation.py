"""The sums of an evaluation: the same however rows are batched, merged or saved; and small when stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import InternalError, InvalidParameter
from mlsession.metrics.evaluation import EvaluationSums
from mlsession.metrics.scores import BINS, score_bins
from mlsession.randomness import keyed_generator
from mlsession.session.log.blobs import encode_state
from mlsession.session.phase import PhaseState
from tests.metrics.rows import Rows, predicted_rows


def stored(sums: EvaluationSums) -> bytes:
    return encode_state(sums.to_phase_state())


@settings(max_examples=40, deadline=None)
@given(rows=predicted_rows(), cuts=st.lists(st.integers(0, 40), max_size=4), order=st.integers(0, 99))
def test_batches_order_and_merging_change_nothing(rows: Rows, cuts: list[int], order: int) -> None:
    truth, probabilities = rows
    zero = EvaluationSums.zero(probabilities.shape[1])
    whole = zero.add(truth, probabilities)
    one_by_one, parts = zero, []
    for batch in np.split(keyed_generator(order, "order").permutation(len(truth)), sorted(cuts)):
        one_by_one = one_by_one.add(truth[batch], probabilities[batch])
        parts.append(zero.add(truth[batch], probabilities[batch]))
    left = right = zero
    for part in parts:
        left = left.merge(part)
    for part in reversed(parts):
        right = part.merge(right)
    assert stored(one_by_one) == stored(left) == stored(right) == stored(whole)


@settings(max_examples=30, deadline=None)
@given(rows=predicted_rows())
def test_saved_form_goes_round(rows: Rows) -> None:
    truth, probabilities = rows
    sums = EvaluationSums.zero(probabilities.shape[1]).add(truth, probabilities)
    again = EvaluationSums.from_phase_state(sums.to_phase_state())
    assert stored(again) == stored(sums)
    assert again.count == len(truth)
    assert again.ranks.sum() == again.calibration[:, 0].sum() == len(truth)
    assert again.scores.positives.sum() == again.confidence.sum() == len(truth)
    assert again.confidence[1].sum() == again.basic.correct
    assert again.scores.negatives.sum() == len(truth) * (probabilities.shape[1] - 1)


def test_a_thousand_classes_are_stored_in_little() -> None:
    generator = keyed_generator(0, "many")
    logits = 2 * generator.normal(size=(2000, 1000))
    truth = generator.integers(0, 1000, 2000)
    logits[np.arange(2000), truth] += 8
    powers = np.exp(logits)
    sums = EvaluationSums.zero(1000).add(truth, powers / powers.sum(axis=1, keepdims=True))
    assert len(stored(sums)) < 4_000_000
    assert len(stored(EvaluationSums.zero(1000))) < 10_000


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(InvalidParameter):
        EvaluationSums.zero(2).merge(EvaluationSums.zero(3))
    with pytest.raises(InvalidParameter):
        EvaluationSums.zero(2).add(np.array([0]), np.array([[0.5, 0.2, 0.3]]))
    state = EvaluationSums.zero(3).add(np.array([2]), np.array([[0.1, 0.2, 0.7]])).to_phase_state()
    with pytest.raises(InternalError):
        EvaluationSums.from_phase_state(PhaseState({**state.arrays, "ranks": np.zeros(2, dtype=np.int64)}, state.data))
    with pytest.raises(InternalError):
        EvaluationSums.from_phase_state(PhaseState({}, state.data))
    with pytest.raises(InternalError, match="brier_units"):
        EvaluationSums.from_phase_state(PhaseState(state.arrays, {"loss_units": "0", "loss_squares": "0"}))


@settings(max_examples=30, deadline=None)
@given(rows=predicted_rows())
def test_squares_are_those_of_the_definition(rows: Rows) -> None:
    truth, probabilities = rows
    sums = EvaluationSums.zero(probabilities.shape[1]).add(truth, probabilities)
    errors = probabilities - np.eye(probabilities.shape[1])[truth]
    assert sums.brier_units * 2.0**-40 == pytest.approx(float((errors**2).sum()), abs=1e-9)
    losses = -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-15))
    assert sums.loss_squares * 2.0**-64 == pytest.approx(float((losses**2).sum()), rel=1e-7, abs=1e-9)
    best, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    np.testing.assert_array_equal(sums.confidence[0], np.bincount(score_bins(best[~right]), minlength=BINS))
    # The order in memory is no part of the sums.
    again = EvaluationSums.zero(probabilities.shape[1]).add(truth, np.asfortranarray(probabilities))
    assert stored(again) == stored(sums)
