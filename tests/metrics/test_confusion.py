"""The confusion matrix and what follows from it, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from mlsession.errors import InvalidParameter
from mlsession.metrics.confusion import confusion_matrix, f1_scores, precisions, recalls
from mlsession.randomness import keyed_generator


@pytest.mark.parametrize("case", range(20))
def test_agrees_with_scikit_learn(case: int) -> None:
    generator = keyed_generator(case, "confusion")
    classes = int(generator.integers(2, 12))
    # Few rows for many classes, so that some classes are never true, never predicted, or neither.
    truth, predicted = generator.integers(0, classes, (2, int(generator.integers(1, 30))))
    confusion = confusion_matrix(truth, predicted, classes)
    assert confusion.dtype == np.int64
    labels = list(range(classes))
    np.testing.assert_array_equal(confusion, oracle.confusion_matrix(truth, predicted, labels=labels))
    precision, recall, f1, _ = oracle.precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=np.nan
    )
    np.testing.assert_allclose(precisions(confusion), precision, rtol=1e-12)
    np.testing.assert_allclose(recalls(confusion), recall, rtol=1e-12)
    np.testing.assert_allclose(f1_scores(confusion), f1, rtol=1e-12)


def test_rows_are_true_and_columns_predicted() -> None:
    np.testing.assert_array_equal(confusion_matrix(np.array([0, 0, 1]), np.array([1, 1, 1]), 2), [[0, 2], [0, 1]])


def test_no_rows() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    np.testing.assert_array_equal(confusion_matrix(nothing, nothing, 2), np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("truth", "predicted"), [([0, 2], [0, 1]), ([0, 1], [0, -1]), ([0, 1], [0]), ([0.0, 1.0], [0, 1])]
)
def test_refuses_what_is_no_class(truth: list[float], predicted: list[int]) -> None:
    with pytest.raises(InvalidParameter):
        confusion_matrix(np.array(truth), np.array(predicted), 2)
