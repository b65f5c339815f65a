"""A trained classifier in use: predicting, evaluating, writing, loading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mlsession as ml
from mlsession.errors import InvalidParameter, KeyMissing, ModelNotFound, NewerFormat, UnreadableImage, UnusableData

from .conftest import LABELS, Start


@pytest.fixture(scope="module")
def classifier(train_photos: Path, cache: str, tmp_path_factory: pytest.TempPathFactory) -> ml.Classifier:
    """Of the shared photos; it does not change."""
    where = ml.SessionParameters(tmp_path_factory.mktemp("use") / "session", iterations=10, cache=cache)
    return ml.Classifier.train(ml.DataSource.labeled_directories(train_photos), None, where).result()


def test_predicts_paths_bytes_pictures_and_arrays_alike(classifier: ml.Classifier, test_photos: Path) -> None:
    path = sorted((test_photos / "Lemon").iterdir())[0]
    prediction = classifier.predict(path)
    assert prediction.label == "Lemon"
    assert prediction.top[0] == ("Lemon", prediction.confidence)
    assert sum(confidence for _, confidence in prediction.top) == pytest.approx(1.0)
    assert {label for label, _ in prediction.top} == set(LABELS)
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
        assert classifier.predictions([str(path), path.as_uri(), path.read_bytes()]) == [prediction] * 3
        assert classifier.predictions([picture, pixels]) == [prediction] * 2
    assert len(classifier.predict(path, top=1).top) == 1


def test_the_order_of_a_batch_does_not_matter(classifier: ml.Classifier, test_photos: Path) -> None:
    paths = sorted(test_photos.rglob("*.jpg"))
    forward = classifier.predictions(paths)
    assert classifier.predictions(paths[::-1]) == forward[::-1]
    assert classifier.predict(paths[3]) == forward[3]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "YCbCr", "1", "LA"])
def test_pictures_of_any_mode_are_taken(classifier: ml.Classifier, test_photos: Path, mode: str) -> None:
    with Image.open(sorted((test_photos / "Kiwi").iterdir())[0]) as picture:
        converted = picture.convert("L").convert(mode) if mode == "LA" else picture.convert(mode)
    assert classifier.predict(converted).label in LABELS


def test_what_cannot_be_predicted_is_named(classifier: ml.Classifier, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no picture")
    with pytest.raises(UnreadableImage, match=r"notes\.jpg"):
        classifier.predict(tmp_path / "notes.jpg")
    with pytest.raises(KeyMissing, match=r"gone\.jpg"):
        classifier.predict(tmp_path / "gone.jpg")
    with pytest.raises(InvalidParameter, match="float64"):
        classifier.predict(np.zeros((5, 5, 3)))  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter):
        classifier.predict(7)  # type: ignore[arg-type]


def test_evaluates_another_folder(classifier: ml.Classifier, test_photos: Path, tmp_path: Path) -> None:
    evaluation = classifier.evaluate_images(ml.DataSource.labeled_directories(test_photos))
    assert evaluation.metrics.count == len(evaluation.images) == 18
    right = sum(image.label == image.predicted for image in evaluation.images)
    assert evaluation.metrics.accuracy == right / 18
    assert {image.path.split("/")[0] for image in evaluation.images} == set(LABELS)
    other = tmp_path / "other"
    (other / "Pear").mkdir(parents=True)
    (other / "Pear" / "1.jpg").write_bytes(b"x")
    with pytest.raises(UnusableData, match="Pear"):
        classifier.evaluate(ml.DataSource.labeled_directories(other))


def test_saved_and_loaded_it_is_the_same(classifier: ml.Classifier, test_photos: Path, tmp_path: Path) -> None:
    report = classifier.write(tmp_path / "new" / "Fruit.safetensors", ml.ModelMetadata(author="A. Person"))
    assert report.verified
    loaded = ml.Classifier.load(tmp_path / "new" / "Fruit.safetensors")
    assert loaded.model_digest == classifier.model_digest
    assert loaded.classes == classifier.classes
    paths = sorted(test_photos.rglob("*.jpg"))
    assert loaded.predictions(paths) == classifier.predictions(paths)
    assert (tmp_path / "new" / "Fruit.safetensors").stat().st_size < 50_000


def test_sessions_load_too_and_anything_else_is_refused(start: Start, tmp_path: Path) -> None:
    classifier = start(iterations=3).result()
    assert ml.Classifier.load(tmp_path / "session").model_digest == classifier.model_digest
    session = ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session"))
    checkpoint = next(one for one in session.checkpoints if one.phase == "training")
    assert ml.Classifier.load(checkpoint.url).model_digest != classifier.model_digest
    for url in (tmp_path / "nothing", tmp_path / "nothing.safetensors", tmp_path / "x.mlmodel"):
        with pytest.raises(ModelNotFound):
            ml.Classifier.load(url)


def test_a_newer_saved_model_is_refused(classifier: ml.Classifier, tmp_path: Path) -> None:
    path = tmp_path / "Fruit.safetensors"
    classifier.write(path)
    path.write_bytes(path.read_bytes().replace(b'\\"format\\":1', b'\\"format\\":9'))
    with pytest.raises(NewerFormat, match="9"):
        ml.Classifier.load(path)


def test_an_unknown_ending_is_refused(classifier: ml.Classifier, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="mlmodel"):
        classifier.write(tmp_path / "Fruit.bin")
    assert not (tmp_path / "Fruit.bin").exists()
