"""The sums of an evaluation: the same however rows are batched, merged or saved; and small when stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import InternalError, InvalidParameter
from mlsession.metrics.evaluation import EvaluationSums
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
    assert again.scores.positives.sum() == len(truth)
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
