"""The report: figures, tables, stored form and text."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mlsession.errors import InternalError
from mlsession.metrics.report import ClassifierMetrics
from mlsession.metrics.sums import MetricSums


@pytest.fixture
def report() -> ClassifierMetrics:
    """Of 8 images: one cat taken for a dog, one dog for a cat; an owl is never seen nor predicted."""
    confusion = np.array([[2, 1, 0], [1, 4, 0], [0, 0, 0]], dtype=np.int64)
    return ClassifierMetrics(classes=("cat", "dog", "owl"), confusion_matrix=confusion, log_loss=0.5)


def test_figures(report: ClassifierMetrics) -> None:
    assert report.is_valid
    assert (report.count, report.accuracy, report.classification_error) == (8, 0.75, 0.25)
    assert report.class_counts.tolist() == [3, 5, 0]
    np.testing.assert_allclose(report.precision, [2 / 3, 0.8, np.nan])
    np.testing.assert_allclose(report.recall, [2 / 3, 0.8, np.nan])
    np.testing.assert_allclose(report.f1, [2 / 3, 0.8, np.nan])


def test_of_sums() -> None:
    sums = MetricSums.zero(2).add(np.array([0, 1]), np.array([[0.5, 0.5], [0.75, 0.25]]))
    report = ClassifierMetrics.of(sums, ("a", "b"))
    assert report.accuracy == 0.5
    assert report.log_loss == pytest.approx((math.log(2) + math.log(4)) / 2, abs=1e-9)


def test_tables(report: ClassifierMetrics) -> None:
    assert report.confusion.to_dict("list") == {
        "True Label": ["cat", "cat", "dog", "dog"],
        "Predicted": ["cat", "dog", "cat", "dog"],
        "Count": [2, 1, 1, 4],
    }
    table = report.precision_recall
    assert list(table.columns) == ["Label", "Count", "Precision", "Recall", "F1"]
    assert table["Label"].tolist() == ["cat", "dog", "owl"]
    assert table["Count"].tolist() == [3, 5, 0]
    for column in ("Precision", "Recall", "F1"):
        assert table[column].tolist() == pytest.approx([2 / 3, 0.8, math.nan], nan_ok=True)


def test_stored_form_goes_round(report: ClassifierMetrics) -> None:
    text = json.dumps(report.to_json(), allow_nan=False)
    again = ClassifierMetrics.from_json(json.loads(text))
    assert again.to_json() == report.to_json()
    assert again.classes == report.classes
    np.testing.assert_array_equal(again.confusion_matrix, report.confusion_matrix)


def test_invalid_goes_round() -> None:
    report = ClassifierMetrics.invalid("test/: there is no such folder; check the path")
    again = ClassifierMetrics.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False)))
    assert not again.is_valid
    assert again.error == "test/: there is no such folder; check the path"
    assert math.isnan(again.accuracy)
    assert math.isnan(again.log_loss)
    assert str(again) == "no metrics: test/: there is no such folder; check the path"
    assert again.confusion.empty


def test_text(report: ClassifierMetrics) -> None:
    assert str(report).splitlines() == [
        "accuracy 75.0 % (6 of 8), log loss 0.500",
        "",
        "label   count  precision  recall     f1",
        "cat         3      0.667   0.667  0.667",
        "dog         5      0.800   0.800  0.800",
        "owl         0          -       -      -",
    ]
    assert repr(report) == "<ClassifierMetrics: accuracy 75.0 % (6 of 8), log loss 0.500>"


def test_text_lines_up_wide_letters() -> None:
    report = ClassifierMetrics(classes=("cafe\u0301s", "猫"), confusion_matrix=np.eye(2, dtype=np.int64), log_loss=0.1)
    first, second = str(report).splitlines()[-2:]
    # Five columns of a terminal each: six characters with an accent of its own, and one wide letter with three spaces.
    assert (first.index("1"), second.index("1")) == (13, 11)


def test_does_not_change_under_its_reader(report: ClassifierMetrics) -> None:
    with pytest.raises(ValueError, match="read-only"):
        report.confusion_matrix[0, 0] = 9


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(InternalError):
        ClassifierMetrics(classes=("a",), confusion_matrix=np.zeros((2, 2), dtype=np.int64), log_loss=0.0)
    with pytest.raises(InternalError):
        ClassifierMetrics.from_json({"classes": ["a"]})
