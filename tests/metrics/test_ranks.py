"""Ranks of the true class, against a plain sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from mlsession.metrics.ranks import best_classes, true_ranks
from mlsession.randomness import keyed_generator
from tests.metrics.rows import Rows, predicted_rows


@settings(max_examples=60, deadline=None)
@given(rows=predicted_rows(), count=st.integers(1, 8))
def test_both_are_a_stable_sort(rows: Rows, count: int) -> None:
    truth, probabilities = rows
    order = np.argsort(-probabilities, axis=1, kind="stable")
    expected = [ranked.index(label) for ranked, label in zip(order.tolist(), truth.tolist(), strict=True)]
    assert true_ranks(truth, probabilities).tolist() == expected
    before = probabilities.copy()
    np.testing.assert_array_equal(best_classes(probabilities, count), order[:, :count])
    np.testing.assert_array_equal(probabilities, before)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_agrees_with_scikit_learn_where_nothing_is_tied(k: int) -> None:
    generator = keyed_generator(0, "ranks")
    truth, probabilities = generator.integers(0, 5, 200), generator.dirichlet(np.ones(5), 200)
    expected = oracle.top_k_accuracy_score(truth, probabilities, k=k, labels=range(5))
    assert (true_ranks(truth, probabilities) < k).mean() == expected
