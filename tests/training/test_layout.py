"""Data that are divided already are taken for what their folders are called, by every way to train."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.errors import DividedData, UnusableData
from mlsession.events import PartsRecognized
from tests.training.conftest import LABELS


@pytest.fixture
def divided(train_photos: Path, tmp_path: Path) -> Path:
    """4, 2 and 3 photos of each label in `Train`, `val` and `test`."""
    for part, first, last in (("Train", 0, 4), ("val", 4, 6), ("test", 6, 9)):
        for label in LABELS:
            (tmp_path / "fruit" / part / label).mkdir(parents=True)
            for path in sorted((train_photos / label).iterdir())[first:last]:
                shutil.copy2(path, tmp_path / "fruit" / part / label)
    return tmp_path / "fruit"


def session(tmp_path: Path, name: str, cache: str) -> ml.SessionParameters:
    return ml.SessionParameters(tmp_path / "sessions" / name, cache=cache, checkpoint_interval=1, iterations=2)


def counts(classifier: ml.Classifier) -> tuple[int, int, int]:
    metrics = (classifier.training_metrics, classifier.validation_metrics, classifier.testing_metrics)
    return metrics[0].count, metrics[1].count, metrics[2].count


def test_each_part_is_used_and_said(divided: Path, tmp_path: Path, cache: str) -> None:
    data, where = ml.DataSource.labeled_directories(divided), session(tmp_path, "a", cache)
    made = ml.Classifier.make_training_session(data, None, where)
    made.close()
    job = ml.Classifier.train(data, None, where)
    first = job.result()
    assert counts(first) == (12, 6, 9)
    (said,) = [event for event in job.events() if isinstance(event, PartsRecognized)]
    assert (said.training, said.validation, said.test) == tuple(
        str(divided / name) for name in ("Train", "val", "test")
    )
    assert first.model_parameters is not None
    assert first.model_parameters.validation.source == ml.DataSource.labeled_directories(divided / "val")
    resumed = ml.Classifier.resume(ml.Classifier.restore_training_session(where)).result()
    explicit = ml.ModelParameters(validation=ml.Validation.data(ml.DataSource.labeled_directories(divided / "val")))
    same = ml.Classifier.train(
        ml.DataSource.labeled_directories(divided / "Train"),
        explicit,
        session(tmp_path, "b", cache),
        testing=ml.DataSource.labeled_directories(divided / "test"),
    ).result()
    assert first.model_digest == resumed.model_digest == same.model_digest
    assert counts(same) == counts(first)


def test_what_the_caller_says_goes_before(divided: Path, tmp_path: Path, test_photos: Path, cache: str) -> None:
    data, test = (ml.DataSource.labeled_directories(path) for path in (divided, test_photos))
    without = ml.ModelParameters(validation=ml.Validation.none())
    job = ml.Classifier.train(data, without, session(tmp_path, "a", cache), testing=test)
    classifier = job.result()
    assert (classifier.training_metrics.count, classifier.testing_metrics.count) == (12, 18)
    (said,) = [event for event in job.events() if isinstance(event, PartsRecognized)]
    assert (said.validation, said.test) == ("", str(test_photos))


def test_a_part_that_is_missing_or_wrong(divided: Path, tmp_path: Path, cache: str) -> None:
    data = ml.DataSource.labeled_directories(divided)
    shutil.rmtree(divided / "test")
    shutil.rmtree(divided / "val" / LABELS[0])
    classifier = ml.Classifier.train(data, None, session(tmp_path, "a", cache)).result()
    assert (classifier.training_metrics.count, classifier.validation_metrics.count) == (12, 4)
    with pytest.raises(DividedData, match=r"anything else wants one of them, such as .*/Train$"):
        classifier.evaluate(data)
    for other in (ml.Validation.data(data),):
        job = ml.Classifier.train(
            ml.DataSource.labeled_directories(divided / "Train"),
            ml.ModelParameters(validation=other),
            session(tmp_path, "b", cache),
        )
        with pytest.raises(DividedData):
            job.result()
    (divided / "val" / LABELS[1]).rename(divided / "val" / "Pear")
    with pytest.raises(UnusableData, match="label 'Pear' is not among those of the training data"):
        ml.Classifier.train(data, None, session(tmp_path, "c", cache)).result()
