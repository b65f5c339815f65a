"""Whole sessions on real photos: every training checkpoint of either head gives a classifier."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlsession as ml
from mlsession.errors import IncompatibleParameters
from tests.photos import copy_photos

pytestmark = pytest.mark.sampled(0.5)

LABELS = ("Banana", "Kiwi", "Lemon")
PERCEPTRON = ml.MultilayerPerceptron(layer_sizes=(16, 8))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_photos(tmp_path_factory.mktemp("photos") / "train", "train", 5, LABELS)


def parameters(classifier: ml.LogisticRegressor | ml.MultilayerPerceptron, seed: int = 0) -> ml.ModelParameters:
    return ml.ModelParameters(
        tune="off", validation=ml.Validation.split(0.2), seed=seed, algorithm=ml.TransferLearning(classifier=classifier)
    )


def train(photos: Path, where: str, chosen: ml.ModelParameters, iterations: int) -> ml.Classifier:
    """All sessions of this module share the features in one cache beside them."""
    session = ml.SessionParameters(photos.parent / where, checkpoint_interval=1, iterations=iterations)
    return ml.Classifier.train(ml.DataSource.labeled_directories(photos), chosen, session).result()


@pytest.mark.parametrize("options", [ml.LogisticRegressor(), PERCEPTRON], ids=lambda options: type(options).__name__)
def test_every_training_checkpoint_is_a_classifier(
    photos: Path, options: ml.LogisticRegressor | ml.MultilayerPerceptron, tmp_path: Path
) -> None:
    chosen, name = parameters(options), type(options).__name__
    classifier = train(photos, name, chosen, 4)
    assert classifier.model_parameters == chosen
    with ml.Classifier.restore_training_session(ml.SessionParameters(photos.parent / name)) as session:
        checkpoints = [one for one in session.checkpoints if one.phase == ml.Phase.TRAINING]
        assert [one.iteration for one in checkpoints] == [1, 2, 3, 4]
        assert {len(series) for series in session.history.values()} == {4}
        digests = []
        for checkpoint in checkpoints:
            restored = ml.Classifier.from_checkpoint(checkpoint)
            digests.append(restored.model_digest)
            assert restored.model_parameters is not None
            assert restored.model_parameters.algorithm == chosen.algorithm
            # The training part, image by image: as accurate as the checkpoint says.
            metrics = restored.evaluate(ml.DataSource.labeled_directories(photos))
            held_out = round(15 * 0.2)
            expected = checkpoint.metrics["accuracy"] * (15 - held_out)
            expected += checkpoint.metrics["validation_accuracy"] * held_out
            assert metrics.accuracy * 15 == pytest.approx(expected)
    assert len(set(digests)) == 4
    assert digests[-1] == classifier.model_digest
    classifier.write(tmp_path / "saved.safetensors")
    saved = ml.Classifier.load(tmp_path / "saved.safetensors")
    assert saved.model_digest == classifier.model_digest
    photo = next((photos / "Kiwi").iterdir())
    assert saved.predict(photo) == classifier.predict(photo)


def test_a_perceptron_goes_on_to_the_bit(photos: Path) -> None:
    chosen = parameters(PERCEPTRON)
    train(photos, "extended", chosen, 3)
    extended = train(photos, "extended", chosen, 7)
    assert extended.model_digest == train(photos, "unbroken", chosen, 7).model_digest
    assert extended.model_digest != train(photos, "other seed", parameters(PERCEPTRON, seed=1), 7).model_digest


def test_another_head_is_refused_by_name(photos: Path) -> None:
    train(photos, "fixed", parameters(PERCEPTRON), 1)
    with pytest.raises(IncompatibleParameters, match="layer_sizes") as wider:
        train(photos, "fixed", parameters(ml.MultilayerPerceptron(layer_sizes=(16, 9))), 1)
    assert (wider.value.parameter, wider.value.original, wider.value.new) == (
        "algorithm.classifier.layer_sizes",
        [16, 8],
        [16, 9],
    )
    with pytest.raises(IncompatibleParameters) as other:
        train(photos, "fixed", parameters(ml.LogisticRegressor()), 1)
    assert other.value.parameter == "algorithm.classifier.kind"
