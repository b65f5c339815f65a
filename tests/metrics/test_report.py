"""The report: figures, tables, stored form and text."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn import metrics as oracle

from mlsession.errors import InternalError, InvalidParameter
from mlsession.metrics.calibration import calibration_table
from mlsession.metrics.confusion import Confusion
from mlsession.metrics.evaluation import EvaluationSums
from mlsession.metrics.intervals import loss_interval
from mlsession.metrics.report import ClassifierMetrics
from mlsession.session.phase import Array
from tests.metrics.rows import Rows, predicted_rows


def _calibration() -> Array:
    """Of 8 images with a confidence of 0.875, 6 of them predicted rightly."""
    return calibration_table(np.full(8, 0.875), np.arange(8) < 6)


@pytest.fixture
def report() -> ClassifierMetrics:
    """Of 8 images: one cat taken for a dog, one dog for a cat; an owl is never seen nor predicted."""
    return ClassifierMetrics(
        classes=("cat", "dog", "owl"),
        confusion_matrix=np.array([[2, 1, 0], [1, 4, 0], [0, 0, 0]], dtype=np.int64),
        log_loss=0.5,
        rank_counts=np.array([6, 1, 1], dtype=np.int64),
        areas=np.array([0.75, 0.5, math.nan]),
        calibration_table=_calibration(),
    )


def evaluated(rows: Rows) -> ClassifierMetrics:
    truth, probabilities = rows
    classes = probabilities.shape[1]
    sums = EvaluationSums.zero(classes).add(truth, probabilities)
    return ClassifierMetrics.of(sums, tuple(f"c{place}" for place in range(classes)))


def test_figures(report: ClassifierMetrics) -> None:
    assert report.is_valid
    assert (report.count, report.accuracy, report.classification_error) == (8, 0.75, 0.25)
    assert report.class_counts.tolist() == [3, 5, 0]
    for figures in (report.precision, report.recall, report.f1):
        np.testing.assert_allclose(figures, [2 / 3, 0.8, np.nan])
    assert report.majority_baseline == 5 / 8
    assert report.true_positives.tolist() == [2, 4, 0]
    assert report.false_positives.tolist() == report.false_negatives.tolist() == [1, 1, 0]
    assert report.true_negatives.tolist() == [4, 2, 8]
    assert [report.top_k_accuracy(k) for k in (1, 2, 3, 9)] == [0.75, 0.875, 1.0, 1.0]
    assert report.roc_auc_ovr == 0.625
    assert report.roc_auc_ovr_weighted == pytest.approx((3 * 0.75 + 5 * 0.5) / 8)
    for wrong in (0, True, 2.5, "2"):
        with pytest.raises(InvalidParameter, match="must be a whole number, 1 or more"):
            report.top_k_accuracy(wrong)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(rows=predicted_rows())
def test_agrees_with_scikit_learn(rows: Rows) -> None:
    truth, probabilities = rows
    report = evaluated(rows)
    if not len(truth):
        assert all(math.isnan(value) for value in (report.f1_macro, report.balanced_accuracy, report.majority_baseline))
        return
    predicted = probabilities.argmax(axis=1)
    for average in ("macro", "weighted"):
        expected = oracle.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
        names = (f"precision_{average}", f"recall_{average}", f"f1_{average}")
        assert [getattr(report, name) for name in names] == pytest.approx(expected[:3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It warns of one class, and of predicted classes without images.
        assert report.balanced_accuracy == pytest.approx(oracle.balanced_accuracy_score(truth, predicted))
    assert report.accuracy == pytest.approx(oracle.accuracy_score(truth, predicted))
    assert report.majority_baseline == np.bincount(truth).max() / len(truth)
    for place, matrix in enumerate(
        oracle.multilabel_confusion_matrix(truth, predicted, labels=range(len(report.classes)))
    ):
        outcomes = (report.true_negatives, report.false_positives, report.false_negatives, report.true_positives)
        assert [int(column[place]) for column in outcomes] == matrix.reshape(-1).tolist()


@settings(max_examples=15, deadline=None)
@given(rows=predicted_rows())
def test_any_report_goes_round(rows: Rows) -> None:
    report = evaluated(rows)
    again = ClassifierMetrics.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False)))
    assert again.to_json() == report.to_json()
    assert str(again) == str(report)


def test_mean_areas_are_scikit_learns() -> None:
    # Scores a power of two apart never share a bin.
    probabilities = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.125, 0.375, 0.5], [0.75, 0.125, 0.125]])
    truth = np.array([0, 1, 2, 1])
    report = evaluated((truth, probabilities))
    for average, found in (("macro", report.roc_auc_ovr), ("weighted", report.roc_auc_ovr_weighted)):
        assert found == pytest.approx(oracle.roc_auc_score(truth, probabilities, multi_class="ovr", average=average))


def test_what_is_not_known_is_not_a_number(report: ClassifierMetrics) -> None:
    bare = ClassifierMetrics(classes=report.classes, confusion_matrix=report.confusion_matrix, log_loss=0.5)
    assert bare.top_k_accuracy(1) == 0.75
    assert math.isnan(bare.top_k_accuracy(2))
    assert math.isnan(bare.roc_auc_ovr)
    assert np.isnan(bare.roc_auc).all()
    again = ClassifierMetrics.from_json(json.loads(json.dumps(bare.to_json(), allow_nan=False)))
    assert (again.rank_counts, again.areas, again.calibration_table, again.confidence_counts) == (None,) * 4
    for figure in (bare.expected_calibration_error, bare.maximum_calibration_error, bare.chance_calibration_error):
        assert math.isnan(figure)
    assert all(math.isnan(end) for end in (*bare.log_loss_interval, *bare.roc_auc_ovr_interval))
    assert bare.reliability_bins == ()
    assert bare.reliability.empty


def test_the_commonest_mistakes() -> None:
    matrix = np.array([[5, 2, 3], [3, 0, 0], [0, 1, 7]], dtype=np.int64)
    report = ClassifierMetrics(classes=("a", "b", "c"), confusion_matrix=matrix, log_loss=1.0)
    found = report.top_confusions(3)
    assert [(each.label, each.predicted, each.count) for each in found] == [("a", "c", 3), ("b", "a", 3), ("a", "b", 2)]
    assert found[0] == Confusion(label="a", predicted="c", count=3, share=0.3)
    assert len(report.top_confusions()) == 4
    assert report.top_confusions(0) == ()


def test_tables(report: ClassifierMetrics) -> None:
    assert report.confusion.to_dict("list") == {
        "True Label": ["cat", "cat", "dog", "dog"],
        "Predicted": ["cat", "dog", "cat", "dog"],
        "Count": [2, 1, 1, 4],
    }
    table = report.precision_recall
    assert list(table.columns) == [
        *("Label", "Count", "Precision", "Recall", "F1", "ROC AUC"),
        *("True Positives", "False Positives", "False Negatives", "True Negatives"),
        *(f"{name} {end}" for name in ("Precision", "Recall", "F1", "ROC AUC") for end in ("Low", "High")),
    ]
    assert table["Label"].tolist() == ["cat", "dog", "owl"]
    assert table["Count"].tolist() == [3, 5, 0]
    for column in ("Precision", "Recall", "F1"):
        assert table[column].tolist() == pytest.approx([2 / 3, 0.8, math.nan], nan_ok=True)
    assert table["True Negatives"].tolist() == [4, 2, 8]
    assert table["Recall Low"].tolist()[:2] == pytest.approx([0.2077, 0.3755], abs=1e-4)
    averages = report.averages
    assert averages.index.tolist() == ["micro", "macro", "weighted"]
    assert [averages.loc["micro", name] for name in ("Precision", "Recall", "F1")] == [0.75] * 3
    assert averages.loc["macro", "ROC AUC"] == 0.625
    reliability = report.reliability
    assert reliability["Count"].tolist() == [0] * 13 + [8, 0]
    assert [reliability.loc[13, name] for name in ("Confidence", "Accuracy")] == [0.875, 0.75]


def test_the_matrix_as_a_table(report: ClassifierMetrics) -> None:
    frame = report.confusion_frame
    assert (frame.index.name, frame.columns.name) == ("True Label", "Predicted")
    assert int(frame["dog"]["cat"]) == 1
    np.testing.assert_array_equal(frame.to_numpy(), report.confusion_matrix)


def test_invalid_goes_round() -> None:
    report = ClassifierMetrics.invalid("test/: there is no such folder; check the path")
    again = ClassifierMetrics.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False)))
    assert not again.is_valid
    assert again.error == "test/: there is no such folder; check the path"
    figures = (again.accuracy, again.log_loss, again.f1_macro, again.roc_auc_ovr, again.top_k_accuracy(1))
    assert all(math.isnan(value) for value in figures)
    assert str(again) == "no metrics: test/: there is no such folder; check the path"
    assert again.confusion.empty
    assert again.confusion_frame.empty
    assert again.top_confusions() == ()


def test_text(report: ClassifierMetrics) -> None:
    assert str(report).splitlines() == [
        "accuracy 75.0 % (6 of 8), log loss 0.500",
        "95 % interval 40.9 % to 92.9 %; always saying the commonest class: 62.5 %",
        "these images do not show that it beats that: the gain is 12.5 % (-28.7 to 54.3)",
        "balanced accuracy 73.3 % (27.0 to 100.0), macro f1 0.733 (0.31 to 1.00)",
        "auc 0.625 (0.26 to 0.88)",
        "calibration error 0.125 (up to 0.250 would be chance)",
        "",
        "label              count  precision  recall     f1    auc",
        "cat                    3      0.667   0.667  0.667  0.750",
        "dog                    5      0.800   0.800  0.800  0.500",
        "owl                    0          -       -      -      -",
        "micro average          8      0.750   0.750  0.750      -",
        "macro average          8      0.733   0.733  0.733  0.625",
        "weighted average       8      0.750   0.750  0.750  0.594",
    ]
    assert repr(report) == "<ClassifierMetrics: accuracy 75.0 % (6 of 8), log loss 0.500>"


def test_text_lines_up_wide_letters() -> None:
    report = ClassifierMetrics(classes=("cafe\u0301s", "猫"), confusion_matrix=np.eye(2, dtype=np.int64), log_loss=0.1)
    first, second = (line for line in str(report).splitlines() if line.startswith(("cafe", "猫")))
    # Five columns of a terminal and two: an accent takes none of its own, a wide letter two.
    assert first.index("1") - second.index("1") == len("cafe\u0301s") - 5 + 1


def test_does_not_change_under_its_reader(report: ClassifierMetrics) -> None:
    with pytest.raises(ValueError, match="read-only"):
        report.confusion_matrix[0, 0] = 9


def test_refuses_what_does_not_fit() -> None:
    two = np.zeros((2, 2), dtype=np.int64)
    with pytest.raises(InternalError):
        ClassifierMetrics(classes=("a",), confusion_matrix=two, log_loss=0.0)
    with pytest.raises(InternalError):
        ClassifierMetrics(classes=("a", "b"), confusion_matrix=two, log_loss=0.0, areas=np.zeros(3))
    with pytest.raises(InternalError):
        ClassifierMetrics.from_json({"classes": ["a"]})
    with pytest.raises(InternalError):
        ClassifierMetrics.from_json({"classes": [], "confusion_matrix": [], "log_loss": "x"})


@settings(max_examples=30, deadline=None)
@given(rows=predicted_rows())
def test_scores_agree_with_scikit_learn(rows: Rows) -> None:
    truth, probabilities = rows
    report = evaluated(rows)
    if not len(truth):
        assert math.isnan(report.brier_score)
        return
    classes = list(range(probabilities.shape[1]))
    if len(classes) > 1:
        expected = oracle.brier_score_loss(
            np.eye(len(classes))[truth] if len(classes) > 2 else truth,
            probabilities if len(classes) > 2 else probabilities[:, 1],
            labels=None if len(classes) > 2 else classes,
            pos_label=None if len(classes) > 2 else 1,
            scale_by_half=False,
        )
        assert report.brier_score == pytest.approx(expected, abs=1e-9)
    losses = -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-15))
    assert report.log_loss == pytest.approx(losses.mean(), abs=1e-9)
    if len(truth) > 1:
        assert report.log_loss_deviation == pytest.approx(losses.std(ddof=1), abs=1e-7)
        expected = loss_interval(losses.mean(), losses.std(ddof=1), len(truth), len(classes))
        assert report.log_loss_interval == pytest.approx(expected, abs=1e-5)
    assert report.f1_micro == oracle.f1_score(truth, probabilities.argmax(axis=1), average="micro")


@settings(max_examples=20, deadline=None)
@given(rows=predicted_rows())
def test_intervals_are_around_their_figures(rows: Rows) -> None:
    report = evaluated(rows)
    data = report.to_json()
    for name in ("accuracy", "balanced_accuracy", "f1_macro", "log_loss", "roc_auc_ovr", "expected_calibration_error"):
        figure, ends = data[name], data[f"{name}_interval"]
        assert isinstance(ends, list)
        if isinstance(figure, float) and isinstance(ends[0], float) and isinstance(ends[1], float):
            assert ends[0] - 1e-12 <= figure <= ends[1] + 1e-12, name
    for figures, intervals in (
        (report.precision, report.precision_interval),
        (report.recall, report.recall_interval),
        (report.f1, report.f1_interval),
        (report.roc_auc, report.roc_auc_interval),
    ):
        known = np.isfinite(figures)
        np.testing.assert_array_equal(np.isfinite(intervals).all(axis=1), known)
        assert (intervals[known, 0] - 1e-12 <= figures[known]).all()
        assert (figures[known] <= intervals[known, 1] + 1e-12).all()


def test_the_gain_over_the_baseline_is_paired() -> None:
    better = ClassifierMetrics(
        classes=("a", "b"), confusion_matrix=np.array([[58, 2], [8, 32]], dtype=np.int64), log_loss=0.2
    )
    assert (better.baseline_label, better.majority_baseline) == ("a", 0.6)
    assert better.gain_over_baseline == pytest.approx(0.3)
    low, high = better.gain_over_baseline_interval
    # 32 right where the baseline is wrong, 2 wrong where it is right.
    assert (low, high) == pytest.approx((30 / 102 - 0.0983, 30 / 102 + 0.0983), abs=1e-4)
    assert better.beats_baseline
    assert "beats" not in str(better)
    # As accurate as the baseline, by other images.
    same = ClassifierMetrics(
        classes=("a", "b"), confusion_matrix=np.array([[50, 10], [30, 10]], dtype=np.int64), log_loss=0.7
    )
    assert not same.beats_baseline
    assert "these images do not show that it beats that: the gain is 0.0 %" in str(same)
    worse = ClassifierMetrics(
        classes=("a", "b"), confusion_matrix=np.array([[20, 40], [40, 0]], dtype=np.int64), log_loss=2.0
    )
    assert "it does worse than that" in str(worse)
    one = ClassifierMetrics(
        classes=("a", "b"), confusion_matrix=np.array([[4, 1], [0, 0]], dtype=np.int64), log_loss=0.2
    )
    assert "\nall images are of one class: they cannot show whether it tells classes apart" in str(one)
    assert "the gain is" not in str(one)


def test_text_says_which_way_confidences_are_off() -> None:
    sure = ClassifierMetrics(
        classes=("a", "b"),
        confusion_matrix=np.array([[50, 50], [0, 0]], dtype=np.int64),
        log_loss=1.0,
        calibration_table=calibration_table(np.full(100, 0.99), np.arange(100) < 50),
    )
    assert "calibration error 0.490 (up to 0.020 would be chance): it is more sure than right" in str(sure)
    shy = calibration_table(np.full(100, 0.55), np.arange(100) < 98)
    assert "it is less sure than right" in str(replace(sure, calibration_table=shy))


def test_as_a_notebook_shows_it(report: ClassifierMetrics) -> None:
    page = report._repr_html_()
    for text in ("40.9 %", "0.21 to 0.94", "calibration error 0.125", "precision", "these images do not show"):
        assert text in page
