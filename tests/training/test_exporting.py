"""What a trained classifier says of itself in every format, and its Core ML model in memory."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import mlsession as ml
from mlsession import __version__
from mlsession.augment.making import ViewMaker
from mlsession.augment.views import ViewPlan
from mlsession.classifier.model import ImageModel
from mlsession.coreml.evaluate import evaluate_mlmodel, read_mlmodel
from mlsession.coreml.program import evaluate_mlpackage, read_mlpackage
from mlsession.errors import InvalidParameter
from mlsession.export.safetensors import SafetensorsExporter
from mlsession.export.verify import TOLERANCE, proof_images
from mlsession.extractors.catalog import scene_print
from mlsession.heads.logistic.head import LogisticHead
from mlsession.metrics.report import ClassifierMetrics
from mlsession.randomness import keyed_generator
from mlsession.training.images.session_photos import session_photos
from mlsession.training.models import exporting
from mlsession.training.models.pictures import read_views
from tests.inference.conftest import tiny_classifier
from tests.training.conftest import Start


def some_model() -> ImageModel:
    weight = keyed_generator(0, "head").normal(size=(2, 1280)).astype(np.float32)
    head = LogisticHead(weight=weight, bias=np.zeros(2, np.float32))
    return ImageModel(labels=("cat", "dog"), feature_extractor=scene_print(), head=head)


def measured(right: int, wrong: int) -> ClassifierMetrics:
    """Metrics of `right` and `wrong` images of cats."""
    matrix = np.array([[right, wrong], [0, 0]], np.int64)
    return ClassifierMetrics(classes=("cat", "dog"), confusion_matrix=matrix, log_loss=0.5)


def test_facts_name_the_model_and_how_it_was_measured() -> None:
    model = some_model()
    metrics = {"validation": measured(2, 1), "test": ClassifierMetrics.invalid("no images")}
    described = exporting.with_facts(ml.ModelMetadata(author="A"), model, metrics)
    assert described.author == "A"
    assert described.additional == {
        "mlsession.version": __version__,
        "mlsession.model_digest": model.digest,
        "mlsession.feature_extractor": scene_print().identity,
        "mlsession.classifier": model.head.kind,
        "mlsession.num_classes": "2",
        "mlsession.temperature": "1.0",
        "mlsession.validation_images": "3",
        "mlsession.validation_accuracy": "0.6667",
    }


def test_what_the_caller_says_is_not_overwritten() -> None:
    given = ml.ModelMetadata(additional={"mlsession.num_classes": "two", "note": "mine"})
    found = exporting.with_facts(given, some_model(), {}).additional
    assert (found["mlsession.num_classes"], found["note"]) == ("two", "mine")
    assert found["mlsession.version"] == __version__


def test_a_saved_model_holds_the_same_facts() -> None:
    model = some_model()
    metadata = exporting.with_facts(ml.ModelMetadata(license="MIT"), model, {})
    data = SafetensorsExporter().encode(model, metadata).data
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    about = json.loads(header["__metadata__"]["mlsession"])
    assert about["metadata"] == dataclasses.asdict(metadata)


def file_of(path: Path) -> bytes | dict[str, bytes]:
    if path.is_file():
        return path.read_bytes()
    return {each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if each.is_file()}


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize("suffix", [".mlpackage", ".mlmodel"])
def test_a_trained_classifier_leaves_with_the_same_answers(
    start: Start, test_photos: Path, tmp_path: Path, suffix: str
) -> None:
    classifier = start(testing=test_photos).result()
    saved = tmp_path / "Fruit.safetensors"
    described = ml.ModelMetadata(author="A", license="MIT")
    reports = [classifier.write(path, described) for path in (tmp_path / f"Fruit{suffix}", saved)]
    assert [report.verified for report in reports] == [True] * 2
    assert [report.num_images for report in reports] == [len(proof_images(32)) + 8] * 2
    assert [report.num_photos for report in reports] == [8] * 2
    # 3.4 million weights in float32 and little else, and rounding alone between the answers.
    file = file_of(tmp_path / f"Fruit{suffix}")
    assert 13_000_000 < reports[0].size_bytes < 15_000_000
    assert reports[0].size_bytes == (len(file) if isinstance(file, bytes) else sum(map(len, file.values())))
    assert (reports[0].max_difference or 0.0) < TOLERANCE / 10

    shown = (read_mlmodel(file) if isinstance(file, bytes) else read_mlpackage(file)).description.metadata
    assert (shown.author, shown.license) == ("A", "MIT")
    facts = shown.userDefined
    assert facts["mlsession.model_digest"] == classifier.model_digest
    assert facts["mlsession.test_images"] == "18"
    assert facts["mlsession.test_accuracy"] == f"{classifier.testing_metrics.accuracy:.4f}"

    photo = sorted(test_photos.rglob("*.jpg"))[0]
    said = classifier.predict(photo, top=3)
    picture = read_views(photo, ViewMaker(ViewPlan(), 256))[0][None]
    evaluated = evaluate_mlmodel(file, picture) if isinstance(file, bytes) else evaluate_mlpackage(file, picture)
    assert evaluated[0] == [said.label]
    expected = [dict(said.top)[label] for label in classifier.classes]
    np.testing.assert_allclose(evaluated[1][0], expected, atol=1e-4)
    assert ml.Classifier.load(saved).predict(photo, top=3) == said

    photos = session_photos(classifier._findings.results, 32, 200)
    assert [shown.label for shown in photos] == [path.parent.name for path in sorted(test_photos.rglob("*.jpg"))]
    assert {shown.picture.shape for shown in photos} == {(1, 32, 32, 3)}


def test_a_model_in_memory_is_what_is_written(tmp_path: Path) -> None:
    classifier = tiny_classifier()
    model = classifier.model
    assert model is classifier.model
    classifier.write(tmp_path / "Tiny.mlmodel")
    assert model.get_spec().SerializeToString(deterministic=True) == (tmp_path / "Tiny.mlmodel").read_bytes()


def test_a_classifier_leaves_in_fewer_bits_and_says_what_that_cost(tmp_path: Path) -> None:
    classifier = tiny_classifier()
    report = classifier.write(tmp_path / "Tiny.mlmodel", compress="float16", max_changed=1.0)
    loss = report.compression
    assert loss is not None
    assert (loss.method, loss.max_changed, loss.num_labeled, loss.accuracy) == ("float16", 1.0, 0, None)
    assert loss.num_images == report.num_images == len(proof_images(32))
    stored = json.loads((tmp_path / "Tiny.mlmodel.report.json").read_text())
    assert stored["compression"] == dataclasses.asdict(loss)
    with pytest.raises(InvalidParameter, match=r"\.pt2 files are not compressed"):
        classifier.write(tmp_path / "Tiny.pt2", compress="float16")


def test_a_format_that_is_not_known_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"\.mlmodel, \.mlpackage, \.onnx, \.pt2 or \.safetensors"):
        exporting.write_model(some_model(), str(tmp_path / "Fruit.h5"), ml.ModelMetadata(), {})
    assert list(tmp_path.iterdir()) == []
