"""Partial sums: equal to scikit-learn's figures, and exact under any batching, merging and saving."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from mlsession.errors import InternalError, InvalidParameter
from mlsession.metrics.sums import MetricSums
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array, PhaseState

CLASSES = 5


def rows(count: int, seed: int = 0, dtype: type[np.floating] = np.float64) -> tuple[Array, Array]:
    generator = keyed_generator(seed, "rows")
    probabilities = generator.dirichlet(np.full(CLASSES, 0.3), count).astype(dtype)
    return generator.integers(0, CLASSES, count), probabilities


def as_tuple(sums: MetricSums) -> tuple[bytes, int]:
    return sums.confusion.tobytes(), sums.loss_units


def test_agrees_with_scikit_learn() -> None:
    generator = keyed_generator(1, "rows")
    truth, probabilities = generator.integers(0, CLASSES, 500), generator.dirichlet(np.ones(CLASSES), 500)
    sums = MetricSums.zero(CLASSES).add(truth, probabilities)
    assert sums.count == 500
    assert sums.accuracy == oracle.accuracy_score(truth, probabilities.argmax(axis=1))
    assert sums.log_loss == pytest.approx(oracle.log_loss(truth, probabilities, labels=range(CLASSES)), abs=2**-32)


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 300), max_size=6), order=st.integers(0, 1000))
def test_batches_order_and_merging_change_nothing(cuts: list[int], order: int) -> None:
    truth, probabilities = rows(300, dtype=np.float32)
    whole = MetricSums.zero(CLASSES).add(truth, probabilities)
    shuffled = keyed_generator(order, "order").permutation(300)
    batches = np.split(shuffled, sorted(cuts))
    one_by_one, merged = MetricSums.zero(CLASSES), MetricSums.zero(CLASSES)
    for batch in batches:
        one_by_one = one_by_one.add(truth[batch], probabilities[batch])
        merged = MetricSums.zero(CLASSES).add(truth[batch], probabilities[batch]).merge(merged)
    assert as_tuple(one_by_one) == as_tuple(merged) == as_tuple(whole)


def test_saved_form_goes_round() -> None:
    sums = MetricSums.zero(CLASSES).add(*rows(100))
    # More than JSON's integers hold exactly.
    sums = MetricSums(confusion=sums.confusion, loss_units=sums.loss_units + 2**70 + 1)
    state = sums.to_phase_state()
    assert as_tuple(MetricSums.from_phase_state(state)) == as_tuple(sums)
    assert not np.shares_memory(state.arrays["confusion"], sums.confusion)
    with pytest.raises(InternalError):
        MetricSums.from_phase_state(PhaseState(arrays=state.arrays))


def test_a_sure_mistake_costs_a_finite_loss() -> None:
    sums = MetricSums.zero(2).add(np.array([0]), np.array([[0.0, 1.0]]))
    assert sums.log_loss == pytest.approx(-math.log(1e-15), abs=1e-9)


def test_of_equals_the_first_is_predicted() -> None:
    sums = MetricSums.zero(3).add(np.array([1]), np.array([[0.2, 0.4, 0.4]]))
    assert sums.correct == 1


def test_no_rows() -> None:
    sums = MetricSums.zero(2).add(np.zeros(0, dtype=np.int64), np.zeros((0, 2)))
    assert sums.count == 0
    assert math.isnan(sums.accuracy)
    assert math.isnan(sums.log_loss)


@pytest.mark.parametrize("probabilities", [[[0.5, math.nan]], [[-0.1, 1.1]], [[0.5, 0.25, 0.25]], [[1, 0]]])
def test_refuses_what_are_no_probabilities(probabilities: list[list[float]]) -> None:
    with pytest.raises(InvalidParameter, match="probabilities"):
        MetricSums.zero(2).add(np.array([0]), np.array(probabilities))
