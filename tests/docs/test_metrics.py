"""docs/metrics.md names every figure, and only what is there; its formulas are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import typer

import mlsession as ml
from mlsession.classifier.prediction import Prediction
from mlsession.cli.app import app
from mlsession.cli.completion import command_words
from mlsession.metrics.bootstrap import FEWEST_REPLICATES, REPLICATES
from mlsession.metrics.calibration import CONFIDENCE_BINS, ReliabilityBin
from mlsession.metrics.evaluation import EvaluationSums
from mlsession.metrics.scores import BINS
from mlsession.metrics.sums import SMALLEST_PROBABILITY
from mlsession.randomness import keyed_generator

DOCUMENT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")

OWNERS = (
    *(ml.ClassifierMetrics, ml.Classifier, ml.ImageResults, ml.OperatingPoint, ml.Rejection),
    *(Prediction, ReliabilityBin),
)


def code() -> list[str]:
    """Everything that stands in backquotes."""
    return re.findall(r"`([^`\n]+)`", DOCUMENT)


def is_there(name: str) -> bool:
    names = {member for owner in OWNERS for member in (*dir(owner), *getattr(owner, "__annotations__", {}))}
    return name in names or name in ml.__all__ or name in {"InvalidParameter", "images", "print"}


def test_every_name_is_there() -> None:
    for text in code():
        if text.startswith(("mlsession ", "python ", "--")) or re.fullmatch(r"\w+=[\w.\"]+", text):
            continue
        for name in re.findall(
            r"(?<![\w\"'.])(?:ml\.|classifier\.|metrics\.)?([a-zA-Z_]\w*)", re.sub(r"\(.*?\)", "", text)
        ):
            assert is_there(name), text


def test_every_figure_is_named() -> None:
    report = ml.ClassifierMetrics.invalid("none")
    named = set(re.findall(r"\w+", " ".join(code())))
    figures = {name for name in report.to_json() if name not in _RAW}
    assert figures - named == set()
    assert {name for name in dir(ml.ClassifierMetrics) if name.endswith("_interval")} - named == set()


_RAW = frozenset(
    {
        *("error", "count", "classes", "confusion_matrix", "rank_counts", "per_class", "top_k_accuracy"),
        *("calibration_table", "confidence_counts", "rejections", "reliability", "top_confusions"),
    }
)
"""What docs/json.md says, or what is named as a method."""


def test_every_command_is_there() -> None:
    words = command_words(typer.main.get_command(app))
    for line in code():
        if line.startswith("mlsession "):
            command, *rest = line.split()[1:]
            assert command in words, line
            for option in (word for word in rest if word.startswith("--")):
                assert option in words[command], line


def test_stated_numbers_are_those_of_the_code() -> None:
    assert f"{CONFIDENCE_BINS} bins of equal width" in DOCUMENT
    assert f"{BINS:,} bins" in DOCUMENT
    assert f"anew, {REPLICATES:,} times ({FEWEST_REPLICATES} with" in DOCUMENT
    assert f"a probability below {SMALLEST_PROBABILITY:g} counts" in DOCUMENT


def test_formulas_are_those_of_the_code() -> None:
    generator = keyed_generator(2, "docs")
    truth, probabilities = generator.integers(0, 3, 200), generator.dirichlet([0.5] * 3, 200)
    metrics = ml.ClassifierMetrics.of(EvaluationSums.zero(3).add(truth, probabilities), ("a", "b", "c"))
    predicted = probabilities.argmax(axis=1)
    one = np.eye(3)[truth]
    hits = np.array([((truth == k) & (predicted == k)).sum() for k in range(3)])
    said, real = np.bincount(predicted, minlength=3), np.bincount(truth, minlength=3)
    assert metrics.accuracy == hits.sum() / 200
    assert metrics.gain_over_baseline == pytest.approx(hits.sum() / 200 - real.max() / 200)
    assert metrics.brier_score == pytest.approx(((probabilities - one) ** 2).sum(axis=1).mean())
    np.testing.assert_allclose(metrics.f1, 2 * hits / (2 * hits + (said - hits) + (real - hits)))
    share = hits / (said + real - hits)
    np.testing.assert_allclose(metrics.f1, 2 * share / (1 + share))
    point = metrics.threshold("a", min_recall=0.5)
    assert point.count == (probabilities[:, 0] >= point.threshold).sum()
    frame = metrics.reliability
    gaps = ((frame["Confidence"] - frame["Accuracy"]).abs() * frame["Count"] / 200).sum()
    assert metrics.expected_calibration_error == pytest.approx(gaps)
