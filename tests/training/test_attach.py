"""Following a training from elsewhere gives the classifier that it gave."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlsession as ml
from mlsession.errors import Cancelled
from tests.training.conftest import Start

SECONDS = 120


def test_the_result_is_the_classifier(start: Start, tmp_path: Path) -> None:
    trained = start().result(SECONDS)
    followed = ml.Classifier.attach(tmp_path / "session")
    found = followed.result(SECONDS)
    assert found.model_digest == trained.model_digest
    assert found.training_metrics.accuracy == trained.training_metrics.accuracy
    assert (followed.phase, [item.phase for item in followed.checkpoints][-1]) == ("evaluating", "evaluating")


def test_what_was_paused_gives_none(start: Start, tmp_path: Path) -> None:
    job = start()
    job.cancel("enough")
    with pytest.raises(Cancelled):
        job.result(SECONDS)
    # Whether it had opened the session by then or not: there is no classifier.
    with pytest.raises(ml.MLSessionError):
        ml.Classifier.attach(tmp_path / "session").result(SECONDS)
