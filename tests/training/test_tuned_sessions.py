"""Sessions that have fine-tuned: their model is the tuned one, wherever it is asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import mlsession as ml
from mlsession.augment.making import ViewMaker
from mlsession.augment.views import ViewPlan
from mlsession.classifier.model import ImageModel
from mlsession.export.mlpackage import MLPackageExporter
from mlsession.export.verify import proof_images
from mlsession.extractors.catalog import scene_print
from mlsession.extractors.numerics import torch_numerics
from mlsession.extractors.trainable import trainable_network
from mlsession.extractors.tuned import TunedExtractor
from mlsession.finetuning.options import FineTune
from mlsession.heads.logistic.head import LogisticHead
from mlsession.phases.evaluated import PartName
from mlsession.phases.finetuned import KEPT
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Phase
from mlsession.training.findings.summary import SessionSummary
from mlsession.training.models.pictures import read_views
from tests.docs.stored import arrays_of, parse, tensor_digest
from tests.extractors.networks import save_weights, timm_network
from tests.photos import copy_photos

LABELS = ("Banana", "Kiwi", "Lemon")
IMAGES: tuple[tuple[PartName, int], ...] = (("training", 18), ("validation", 6), ("test", 12))


@dataclass(frozen=True, kw_only=True)
class Made:
    folder: Path
    classifier: ml.Classifier

    @property
    def weights(self) -> Path:
        return self.folder / "weights.safetensors"

    @property
    def test(self) -> ml.DataSource:
        return ml.DataSource.labeled_directories(self.folder / "test")

    @property
    def photo(self) -> Path:
        return min((self.folder / "test").rglob("*.jpg"))

    def session(self, name: str = "session") -> ml.TrainingSession:
        return ml.Classifier.restore_training_session(ml.SessionParameters(self.folder / name))


def trained(folder: Path, keep: str, session: str = "session") -> ml.Classifier:
    """A small network of timm, tuned by steps that are too large, so that it is another one, and worse."""
    extractor = ml.timm_extractor("test_resnet", folder / "weights.safetensors")
    tuning = FineTune(
        feature_extractor=extractor,
        epochs=1,
        learning_rate=0.02,
        augmentation=(),
        keep=keep,  # type: ignore[arg-type]
    )
    return ml.Classifier.train(
        ml.DataSource.labeled_directories(folder / "train"),
        ml.ModelParameters(tune="off", max_iterations=3, validation=ml.Validation.split(0.25), algorithm=tuning),
        ml.SessionParameters(folder / session, cache=str(folder / "cache"), checkpoint_interval=1),
        testing=ml.DataSource.labeled_directories(folder / "test"),
    ).result()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("tuned")
    copy_photos(folder / "train", "train", 8, LABELS)
    copy_photos(folder / "test", "test", 4, LABELS)
    save_weights(timm_network("test_resnet"), folder / "weights.safetensors")
    return Made(folder=folder, classifier=trained(folder, "always"))


def test_the_session_s_model_is_the_tuned_one(made: Made) -> None:
    classifier = made.classifier
    assert repr(classifier) == "<Classifier of 3 classes, timm:test_resnet (fine-tuned)>"
    loaded = ml.Classifier.load(made.folder / "session")
    assert loaded.model_digest == classifier.model_digest
    assert loaded.predict(made.photo) == classifier.predict(made.photo)
    with made.session() as session:
        assert SessionSummary.of(session).model_digest == classifier.model_digest


def test_evaluating_says_what_the_tuned_model_says_of_every_image(made: Made) -> None:
    classifier = made.classifier
    measured = classifier.evaluate(made.test)
    for name in ("accuracy", "log_loss"):
        assert getattr(classifier.testing_metrics, name) == pytest.approx(getattr(measured, name), rel=1e-6)
    for part, count in IMAGES:
        results = classifier.results(part)
        assert len(results.paths) == count
        source = made.folder / ("test" if part == "test" else "train")
        for row in (0, count - 1):
            said = classifier.predict(source / results.paths[row])
            assert said.label == LABELS[results.columns["top"][row, 0]]
            assert said.confidence == pytest.approx(results.columns["top_confidence"][row, 0], rel=1e-5)


def test_every_checkpoint_gives_the_model_of_that_moment(made: Made) -> None:
    with made.session() as session:
        checkpoints = [each for each in session.checkpoints if each.phase != Phase.EXTRACTING]
        tuning = [each for each in checkpoints if each.phase == Phase.FINETUNING]
        head_alone = ml.Classifier.from_checkpoint(
            max((each for each in checkpoints if each.phase == Phase.TRAINING), key=lambda each: each.number)
        )
        during, after, last = (ml.Classifier.from_checkpoint(each) for each in (tuning[0], tuning[-1], checkpoints[-1]))
    assert len(tuning) > 2
    assert repr(head_alone) == "<Classifier of 3 classes, timm:test_resnet>"
    assert during.model_digest == head_alone.model_digest
    assert after.model_digest == last.model_digest == made.classifier.model_digest != head_alone.model_digest
    assert not after.testing_metrics.is_valid
    assert last.testing_metrics.accuracy == made.classifier.testing_metrics.accuracy


def test_the_cache_has_features_of_the_base_alone(made: Made) -> None:
    about = [json.loads(path.read_text()) for path in (made.folder / "cache/features/about").iterdir()]
    base = ml.timm_extractor("test_resnet", made.weights)
    assert [identity for identity, _ in about] == [base.identity]


def test_it_is_saved_with_the_tuned_network(made: Made) -> None:
    classifier = made.classifier
    path = made.folder / "Fruit.safetensors"
    assert classifier.write(path).verified
    loaded = ml.Classifier.load(path, extractor_weights=made.weights)
    assert loaded.model_digest == classifier.model_digest
    assert loaded.predict(made.photo) == classifier.predict(made.photo)
    tensors, metadata = arrays_of(path.read_bytes())
    stored = parse(metadata["mlsession"].encode(), "model")
    network = {name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")}
    assert tensors.keys() - {f"network.{name}" for name in network} == {"weight", "bias"}
    extractor = stored["feature_extractor"]
    assert (extractor["kind"], extractor["base"]["network"]) == ("tuned", "test_resnet")
    assert extractor["tensors"] == f"tensors-sha256:{tensor_digest(network)}"
    assert stored["extractor_identity"].endswith(f" tuned tensors-sha256:{tensor_digest(network)[:16]}")
    assert tensor_digest(tensors) == classifier.model_digest


def test_to_torch_says_what_the_classifier_says(made: Made) -> None:
    module, classifier = made.classifier.to_torch(), made.classifier
    picture = read_views(made.photo, ViewMaker(ViewPlan(), classifier.side))[0]
    with torch_numerics(1), torch.inference_mode():
        said = module(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float())
    expected = dict(classifier.predict(made.photo, top=3).top)
    # Predicting rounds features to half precision.
    np.testing.assert_allclose(said.numpy()[0], [expected[label] for label in classifier.classes], atol=5e-3)


def test_what_looks_at_features_still_works_and_says_whose_they_are(made: Made) -> None:
    told: list[str] = []
    report = ml.review(made.folder / "session", test=None, tell=told.append)
    assert report.images["training"] == 24
    assert told[0] == "reading the features of the session, those of before fine-tuning"
    assert made.classifier.advice.next_step

    class Heard(Exception):
        pass

    def hear(text: str) -> None:
        raise Heard(text)  # What it does then takes seconds, and nothing of it knows of fine-tuning.

    with pytest.raises(Heard, match="those of before fine-tuning"):
        ml.learning_curve(made.folder / "session", tell=hear)


def test_what_is_no_better_is_not_kept(made: Made) -> None:
    trained(made.folder, "better", "second")
    with made.session("second") as session:
        assert session.past.state(Phase.FINETUNING).data[KEPT] is False
        checkpoint = [each for each in session.checkpoints if each.phase == Phase.TRAINING][-1]
        head_alone = ml.Classifier.from_checkpoint(checkpoint)
    classifier = ml.Classifier.load(made.folder / "second")
    assert classifier.model_digest == head_alone.model_digest
    assert classifier.testing_metrics.log_loss == pytest.approx(classifier.evaluate(made.test).log_loss, rel=1e-6)


def test_lite0_leaves_as_it_was_tuned() -> None:
    tensors = {
        name: (parameter.detach().numpy() * (1 + 0.02 * keyed_generator(0, name).normal(size=parameter.shape)))
        for name, parameter in trainable_network(scene_print()).named_parameters()
    }
    spec = TunedExtractor(base=scene_print(), tensors={name: each.astype(np.float32) for name, each in tensors.items()})
    weight = keyed_generator(0, "head").normal(size=(2, spec.dimension)).astype(np.float32)
    head = LogisticHead(weight=weight, bias=np.zeros(2, np.float32))
    model = ImageModel(labels=("cat", "dog"), feature_extractor=spec, head=head)
    exporter, pictures = MLPackageExporter(), proof_images(model.side)[:1]
    encoded = exporter.encode(model, ml.ModelMetadata())
    assert 13_000_000 < encoded.size_bytes < 15_000_000
    assert exporter.verify("Tuned.mlpackage", encoded, model, pictures).verified
