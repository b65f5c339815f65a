"""Sessions on a network of a library: what they store, when they go on, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mlsession as ml
from mlsession.errors import IncompatibleParameters, InvalidParameter, ModelNotFound
from mlsession.phases.cache import cache_folder
from tests.extractors.networks import save_weights, timm_network
from tests.photos import copy_photos

LABELS = ("Kiwi", "Lemon")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_photos(tmp_path_factory.mktemp("photos") / "train", "train", 4, LABELS)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_weights(timm_network("test_resnet"), tmp_path / "weights.safetensors")


def other_weights(folder: Path) -> Path:
    return save_weights(timm_network("test_resnet", seed=1), folder / "other.pth")


def parameters(weights: Path | str) -> ml.ModelParameters:
    extractor = ml.timm_extractor("test_resnet", weights)
    return ml.ModelParameters(max_iterations=3, algorithm=ml.TransferLearning(feature_extractor=extractor))


def where(folder: Path, name: str = "session") -> ml.SessionParameters:
    return ml.SessionParameters(folder / name, cache=None)


@pytest.fixture
def untrained(photos: Path, weights: Path, tmp_path: Path) -> ml.TrainingSession:
    """A session that was made and not run."""
    data = ml.DataSource.labeled_directories(photos)
    return ml.Classifier.make_training_session(data, parameters(weights), where(tmp_path))


@pytest.fixture
def trained(photos: Path, weights: Path, tmp_path: Path) -> ml.Classifier:
    data = ml.DataSource.labeled_directories(photos)
    return ml.Classifier.train(data, parameters(weights), where(tmp_path)).result()


def restored(folder: Path) -> ml.TrainingSession:
    return ml.Classifier.restore_training_session(where(folder))


def test_it_goes_on_from_the_store_alone(untrained: ml.TrainingSession, tmp_path: Path, weights: Path) -> None:
    stored: Any = untrained.identity.parameters["algorithm"]
    assert stored["feature_extractor"]["kind"] == "timm"
    assert str(tmp_path) not in str(stored)
    assert untrained.settings["extractor_weights"] == str(weights)
    numerics: Any = untrained.identity.numerics
    assert numerics["extractor"]["library"].startswith("timm ")
    classifier = ml.Classifier.resume(restored(tmp_path)).result()
    assert repr(classifier) == "<Classifier of 2 classes, timm:test_resnet>"
    assert classifier.training_metrics.count == 8


def test_a_missing_file_is_named_and_may_lie_elsewhere(
    untrained: ml.TrainingSession, weights: Path, tmp_path: Path
) -> None:
    moved = weights.rename(tmp_path / "moved.safetensors")
    with pytest.raises(ModelNotFound, match=r"weights\.safetensors: there is no such file.*extractor_weights=FILE"):
        ml.Classifier.resume(restored(tmp_path)).result()
    first = ml.Classifier.resume(restored(tmp_path), extractor_weights=moved).result()
    assert restored(tmp_path).settings["extractor_weights"] == str(moved)
    photo = next(copy_photos(tmp_path / "test", "test", 1, LABELS).rglob("*.jpg"))
    again = ml.Classifier.load(tmp_path / "session")
    assert again.predict(photo) == first.predict(photo)


def test_other_weights_are_refused_with_old_and_new(
    untrained: ml.TrainingSession, photos: Path, weights: Path, tmp_path: Path
) -> None:
    other = other_weights(tmp_path)
    old, new = (parameters(path).algorithm.extractor for path in (weights, other))
    with pytest.raises(IncompatibleParameters) as resumed:
        ml.Classifier.resume(restored(tmp_path), extractor_weights=other).result()
    assert resumed.value.parameter == "algorithm.feature_extractor.weights"
    assert (resumed.value.original, resumed.value.new) == (old.to_json()["weights"], new.to_json()["weights"])
    data = ml.DataSource.labeled_directories(photos)
    with pytest.raises(IncompatibleParameters) as trained:
        ml.Classifier.train(data, parameters(other), where(tmp_path)).result()
    assert trained.value.parameter == "algorithm.feature_extractor.identity"
    assert (trained.value.original, trained.value.new) == (old.identity, new.identity)


def test_another_extractor_is_refused(untrained: ml.TrainingSession, photos: Path, tmp_path: Path) -> None:
    data = ml.DataSource.labeled_directories(photos)
    with pytest.raises(IncompatibleParameters, match=r"feature_extractor.kind was 'timm' .* 'scene_print' now"):
        ml.Classifier.train(data, ml.ModelParameters(), where(tmp_path)).result()
    path = save_weights(timm_network("test_convnext"), tmp_path / "convnext.pth")
    extractor = ml.timm_extractor("test_convnext", path)
    another = ml.ModelParameters(algorithm=ml.TransferLearning(feature_extractor=extractor))
    with pytest.raises(IncompatibleParameters, match=r"identity was 'timm:test_resnet .* is 'timm:test_convnext "):
        ml.Classifier.train(data, another, where(tmp_path)).result()


def test_features_of_other_weights_are_kept_apart(weights: Path, tmp_path: Path) -> None:
    specs = [parameters(path).algorithm.extractor for path in (weights, other_weights(tmp_path))]
    specs += [ml.scene_print(1), ml.scene_print(2), ml.extractor_named("lite1")]
    assert len({cache_folder(spec.identity, {}) for spec in specs}) == len(specs)


def test_a_saved_model_asks_for_the_file_that_it_was_trained_with(
    trained: ml.Classifier, weights: Path, tmp_path: Path, photos: Path
) -> None:
    saved = tmp_path / "model.safetensors"
    assert trained.write(saved).verified
    photo = next(photos.rglob("*.jpg"))
    loaded = ml.Classifier.load(saved, extractor_weights=weights)
    assert loaded.predict(photo) == trained.predict(photo)
    assert loaded.model_digest == trained.model_digest
    with pytest.raises(ModelNotFound, match=r"timm:test_resnet: its weights were a file .*extractor_weights=FILE"):
        ml.Classifier.load(saved).predict(photo)
    with pytest.raises(IncompatibleParameters, match="file-sha256"):
        ml.Classifier.load(saved, extractor_weights=other_weights(tmp_path)).predict(photo)


def test_a_checkpoint_may_have_its_weights_elsewhere_too(
    trained: ml.Classifier, weights: Path, tmp_path: Path, photos: Path
) -> None:
    photo = next(photos.rglob("*.jpg"))
    expected = trained.predict(photo)
    moved = weights.rename(tmp_path / "moved.safetensors")
    checkpoint = restored(tmp_path).checkpoints[-1]
    assert ml.Classifier.from_checkpoint(checkpoint, extractor_weights=moved).predict(photo) == expected
    assert ml.Classifier.load(checkpoint.url, extractor_weights=moved).predict(photo) == expected


def test_an_embedded_extractor_takes_no_file(photos: Path, tmp_path: Path) -> None:
    data = ml.DataSource.labeled_directories(photos)
    session = ml.Classifier.make_training_session(data, None, where(tmp_path))
    assert "extractor_weights" not in session.settings
    with pytest.raises(InvalidParameter, match=r"extractor_weights.*in a Python package"):
        ml.Classifier.resume(session, extractor_weights="w.pth").result()
