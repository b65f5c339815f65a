"""What was said of each image: of a finished job, a session read back, and another folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import mlsession as ml
from mlsession.errors import DamagedData, InvalidParameter, SessionNotFound, UsageError

from .conftest import LABELS, Start


def as_rows(results: ml.ImageResults) -> list[dict[str, object]]:
    return [image.to_json() for image in results]


def test_results_of_every_part(start: Start, train_photos: Path, test_photos: Path, tmp_path: Path) -> None:
    classifier = start(testing=test_photos).result()
    for part, folder, metrics in (
        ("training", train_photos, classifier.training_metrics),
        ("validation", train_photos, classifier.validation_metrics),
        ("test", test_photos, classifier.testing_metrics),
    ):
        found = classifier.results(part)  # type: ignore[arg-type]
        assert len(found) == metrics.count > 0
        assert found.correct.mean() == metrics.accuracy
        for image in found:
            assert (folder / image.path).is_file()
            assert image.path.split("/")[0] == image.label
            assert image.top[0] == (image.predicted, image.confidence)
            assert sum(share for _, share in image.top) == pytest.approx(1.0)
        for (truth, predicted), count in np.ndenumerate(metrics.confusion_matrix):
            assert len(found.where(label=LABELS[truth], predicted=LABELS[predicted])) == count
    for again in (ml.Classifier.load(tmp_path / "session"), start(testing=test_photos).result()):
        assert as_rows(again.results()) == as_rows(classifier.results())
    elsewhere = classifier.evaluate_images(ml.DataSource.labeled_directories(test_photos))
    assert [image.path for image in elsewhere.images] == [image.path for image in classifier.results()]
    np.testing.assert_allclose(elsewhere.images.confidence, classifier.results().confidence, atol=1e-5)
    assert len(classifier.history["validation_accuracy"]) == len(classifier.history["loss"]) > 0


def test_validation_images_of_their_own(start: Start, test_photos: Path) -> None:
    validation = ml.Validation.data(ml.DataSource.labeled_directories(test_photos))
    classifier = start(parameters=ml.ModelParameters(validation=validation)).result()
    found = classifier.results("validation")
    assert len(found) == classifier.validation_metrics.count == 18
    assert all((test_photos / path).is_file() for path in found.paths)
    assert len(classifier.results("training")) == 51


def test_they_stay_those_of_the_model(start: Start, test_photos: Path, tmp_path: Path) -> None:
    one = start(testing=test_photos, iterations=2).result()
    before = as_rows(one.results())
    shutil.copytree(test_photos / "Kiwi", tmp_path / "kiwis" / "Kiwi")
    two = start(testing=tmp_path / "kiwis", iterations=4).result()
    assert {image.label for image in two.results()} == {"Kiwi"}
    assert as_rows(one.results()) == before


def test_where_there_are_none_the_cure_is_said(start: Start, tmp_path: Path) -> None:
    classifier = start(iterations=3).result()
    with pytest.raises(UsageError, match="test images are stored"):
        classifier.results()
    with pytest.raises(InvalidParameter, match="training, validation, test"):
        classifier.results("holdout")  # type: ignore[arg-type]
    with ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session")) as session:
        early = next(each for each in session.checkpoints if each.phase == "training")
    unevaluated = ml.Classifier.from_checkpoint(early)
    assert len(unevaluated.history["loss"]) == 1
    with pytest.raises(UsageError, match="training images are stored"):
        unevaluated.results("training")
    classifier.write(tmp_path / "saved.safetensors")
    saved = ml.Classifier.load(tmp_path / "saved.safetensors")
    assert saved.history == {}
    with pytest.raises(UsageError):
        saved.results("training")
    with pytest.raises(UsageError, match="no history"):
        saved.plot_history()
    shutil.rmtree(tmp_path / "session")
    with pytest.raises((SessionNotFound, DamagedData)):
        classifier.results("training")


def test_plots(start: Start, tmp_path: Path) -> None:
    classifier = start(iterations=3).result()
    left, _ = classifier.plot_history(tmp_path / "history.svg").axes
    assert [line.get_label() for line in left.lines] == ["training", "validation"]
    (axes,) = classifier.plot_confusion("validation", tmp_path / "confusion.png", normalize=True).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == list(LABELS)
    assert {path.name for path in tmp_path.glob("*.*g")} == {"history.svg", "confusion.png"}
    with ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session")) as session:
        assert len(ml.plot_history(session).axes) == 2
    with pytest.raises(UsageError, match="test"):
        classifier.plot_confusion()
    with pytest.raises(InvalidParameter):
        classifier.plot_confusion("holdout")  # type: ignore[arg-type]


def test_how_many_labels_are_ranked(start: Start, test_photos: Path) -> None:
    classifier = start(iterations=3).result()
    source = ml.DataSource.labeled_directories(test_photos)
    assert {len(image.top) for image in classifier.evaluate_images(source, top=2).images} == {2}
    with pytest.raises(InvalidParameter, match="top"):
        classifier.evaluate_images(source, top=0)
