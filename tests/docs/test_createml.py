"""docs/createml.md promises what Create ML's users find here: the names are there, and do what the rows say."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import mlsession as ml
from mlsession.errors import (
    Cancelled,
    IncompatibleParameters,
    InvalidParameter,
    ModifiedTrainingData,
    NoUsableCheckpoint,
    SessionNotFound,
    UsageError,
)
from mlsession.events import CheckpointCommitted, Event, JobFinished, Progressed, SessionCreated
from tests.photos import copy_photos

from .createml import is_there, rows

if TYPE_CHECKING:
    from mlsession.training.models.pictures import ImageInput

LABELS = ("Kiwi", "Lemon")
METRICS = ("accuracy", "loss", "validation_accuracy", "validation_loss")
PARAMETERS = ml.ModelParameters(validation=ml.Validation.split(0.25), max_iterations=4, tune="off")

Place = Callable[..., ml.SessionParameters]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 photos to train on and 3 to test on of each of two kinds, and a cache that extracts each once."""
    folder = tmp_path_factory.mktemp("createml")
    copy_photos(folder / "train", "train", 8, LABELS)
    copy_photos(folder / "test", "test", 3, LABELS)
    return folder


@pytest.fixture(scope="module")
def data(folder: Path) -> ml.DataSource:
    return ml.DataSource.labeled_directories(folder / "train")


@pytest.fixture(scope="module")
def testing(folder: Path) -> ml.DataSource:
    return ml.DataSource.labeled_directories(folder / "test")


@pytest.fixture(scope="module")
def place(folder: Path) -> Place:
    """Where a session of some name lies."""

    def of(name: str, **options: object) -> ml.SessionParameters:
        return ml.SessionParameters(
            folder / name,
            report_interval=1,
            checkpoint_interval=1,
            cache=str(folder / "cache"),
            **options,  # type: ignore[arg-type]
        )

    return of


@pytest.fixture(scope="module")
def job(data: ml.DataSource, testing: ml.DataSource, place: Place) -> ml.Job[ml.Classifier]:
    """A training that has ended."""
    job = ml.Classifier.train(data, PARAMETERS, place("shared"), testing)
    job.result()
    return job


@pytest.fixture(scope="module")
def classifier(job: ml.Job[ml.Classifier]) -> ml.Classifier:
    return job.result()


@pytest.fixture
def session(job: ml.Job[ml.Classifier], place: Place) -> ml.TrainingSession:
    return ml.Classifier.restore_training_session(place("shared"))


@pytest.fixture(scope="module")
def saved(classifier: ml.Classifier, folder: Path) -> Path:
    """A file that it was written to."""
    path = folder / "Fruit.safetensors"
    assert classifier.write(path, ml.ModelMetadata(author="A. Person")).verified
    return path


def test_every_name_is_there(classifier: ml.Classifier, saved: Path) -> None:
    facts = re.findall(rb"mlsession\.\w+", saved.read_bytes())
    texts = {*ml.Phase, *ml.Status, *classifier.history, *(fact.decode() for fact in facts)}
    stated = [(section, code) for section, codes in rows() for code in codes]
    assert len(stated) > 150
    assert [each for each in stated if not is_there(*each, texts)] == []
    assert not is_there("The classifier", "ml.Classifier.train(data, patience)", texts)
    assert not is_there("Sessions and jobs", "session.birthday", texts)
    assert not is_there("Sessions and jobs", "report_interval=6", texts)
    assert not is_there("Data", "mlsession split --nothing", texts)


# The classifier


def test_making_a_classifier_trains_it(
    data: ml.DataSource,
    classifier: ml.Classifier,
    place: Place,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = ml.Classifier(data, PARAMETERS, place("made"))
    assert one.model_digest == classifier.model_digest
    assert ml.Classifier(data, PARAMETERS, place("made")).model_digest == one.model_digest
    assert (
        ml.Classifier(data, replace(PARAMETERS, max_iterations=2), place("two")).history["loss"][:2]
        == (one.history["loss"][:2])
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    passing = ml.Classifier(data, session=ml.SessionParameters(cache=str(folder / "cache")))
    assert passing.model_parameters == ml.ModelParameters()
    assert len(list(tmp_path.glob("mlsession-*"))) == 1
    job = ml.Classifier.train(data, PARAMETERS, replace(place("x"), url=None))
    job.result()
    (created,) = (event for event in job.events() if isinstance(event, SessionCreated))
    assert created.temporary
    assert created.number == 1


def test_a_session_is_made_restored_resumed_and_extended(
    data: ml.DataSource, classifier: ml.Classifier, place: Place
) -> None:
    where = place("steps")
    with ml.Classifier.make_training_session(data, PARAMETERS, where) as made:
        assert (made.status, made.phase, made.iteration, made.checkpoints) == (ml.Status.NEW, "initialized", 0, ())
        assert made.creation_date == made.date
        assert ml.Classifier.resume(made).result().model_digest == classifier.model_digest
        made.refresh()
        assert made.status is ml.Status.FINISHED
        assert made.creation_date < made.date
    with ml.Classifier.restore_training_session(where) as restored:
        again = ml.Classifier.resume(restored)
        assert again.result().model_digest == classifier.model_digest
        assert not [event for event in again.events() if isinstance(event, CheckpointCommitted)]
    with ml.Classifier.restore_training_session(place("steps", iterations=6)) as extended:
        longer = ml.Classifier.resume(extended).result()
        assert longer.history["loss"][:4] == classifier.history["loss"]
        assert len(longer.history["loss"]) == 6
    with pytest.raises(IncompatibleParameters) as refused:
        ml.Classifier.make_training_session(data, replace(PARAMETERS, seed=1), where)
    assert (refused.value.parameter, refused.value.original, refused.value.new) == ("seed", 0, 1)
    with pytest.raises(ModifiedTrainingData) as changed:
        ml.Classifier.make_training_session(data.stratified_split([0.5])[0], PARAMETERS, where)
    assert len(changed.value.removed) == 8
    ml.Classifier.delete_training_session(where)
    with pytest.raises(SessionNotFound):
        ml.Classifier.restore_training_session(where)


def test_every_training_checkpoint_is_a_classifier(classifier: ml.Classifier, session: ml.TrainingSession) -> None:
    extracted, *trained = (each for each in session.checkpoints if each.phase != "evaluating")
    evaluated = session.checkpoints[-1]
    digests = [ml.Classifier.from_checkpoint(checkpoint).model_digest for checkpoint in trained]
    assert len(set(digests)) == len(trained) == 4
    assert ml.Classifier.from_checkpoint(evaluated).model_digest == digests[-1] == classifier.model_digest
    for checkpoint, digest in zip(trained[:2], digests[:2], strict=True):
        assert ml.Classifier.from_checkpoint(checkpoint.url).model_digest == digest
        assert ml.Classifier.load(checkpoint.url).model_digest == digest
    with pytest.raises(NoUsableCheckpoint):
        ml.Classifier.from_checkpoint(extracted)


def test_it_predicts_and_evaluates(classifier: ml.Classifier, testing: ml.DataSource) -> None:
    paths = testing.labeled_images()["Lemon"]
    with Image.open(paths[0]) as picture:
        forms: list[ImageInput] = [
            Path(paths[0]),
            Path(paths[0]).as_uri(),
            Path(paths[0]).read_bytes(),
            picture,
            np.asarray(picture),
        ]
        assert [classifier.predict(form) for form in forms] == [classifier.predict(paths[0])] * 5
        assert {label for label, _ in classifier.predict(picture).top} == set(LABELS)
    assert [each.label for each in classifier.predictions(paths[1:])] == ["Lemon"] * 2
    found = classifier.evaluate(testing)
    assert np.array_equal(found.confusion_matrix, classifier.testing_metrics.confusion_matrix)
    assert len(classifier.results("test")) == found.count == 6


def test_it_is_written_and_described(classifier: ml.Classifier, saved: Path, session: ml.TrainingSession) -> None:
    loaded = ml.Classifier.load(saved)
    assert loaded.model_digest == classifier.model_digest
    assert (loaded.model_parameters, classifier.model_parameters) == (None, PARAMETERS)
    assert not loaded.training_metrics.is_valid
    assert "training" in str(loaded.training_metrics.error)
    for name in ("model", "model_parameters"):
        with pytest.raises(AttributeError):
            setattr(classifier, name, None)
    metadata = ml.ModelMetadata()
    assert (metadata.author, metadata.license, metadata.version, dict(metadata.additional)) == ("", "", "1", {})
    for value, word in ((classifier, "Classifier"), (session, "shared"), (classifier.testing_metrics, "accuracy")):
        assert word in repr(value)
        assert word in str(value)
        assert word in value._repr_html_()


# Data and parameters


def test_sources_and_their_parts(data: ml.DataSource, folder: Path, tmp_path: Path) -> None:
    images = data.labeled_images()
    assert {label: len(paths) for label, paths in images.items()} == dict.fromkeys(LABELS, 8)
    assert ml.DataSource.files_by_label(images).labeled_images() == images
    for label, paths in images.items():
        (tmp_path / f"{label.lower()}.1.more.jpg").write_bytes(Path(paths[0]).read_bytes())
    assert list(ml.DataSource.labeled_files(tmp_path).labeled_images()) == ["kiwi", "lemon"]
    assert list(ml.DataSource.labeled_files(tmp_path, ".", 1).labeled_images()) == ["1"]
    parts = data.stratified_split([0.5, 0.25])
    assert [[len(paths) for paths in part.labeled_images().values()] for part in parts] == [[4, 4], [2, 2]]
    assert parts[0].labeled_images() == data.stratified_split([0.5, 0.25])[0].labeled_images()
    assert parts[0].labeled_images() != data.stratified_split([0.5, 0.25], seed=1)[0].labeled_images()
    with pytest.raises(InvalidParameter):
        data.stratified_split([0.9, 0.2])


def test_ways_to_validate(data: ml.DataSource, testing: ml.DataSource, place: Place) -> None:
    automatic = ml.Validation.automatic()
    assert [automatic.ratio_for(count) for count in (49, 50, 199, 200)] == [0.0, 0.1, 0.1, 0.05]
    for name, validation, counts in (
        ("automatic", automatic, (16, 0)),
        ("split", ml.Validation.split(0.5), (8, 8)),
        ("data", ml.Validation.data(testing), (16, 6)),
        ("none", ml.Validation.none(), (16, 0)),
    ):
        parameters = ml.ModelParameters(validation=validation, max_iterations=1)
        found = ml.Classifier(data, parameters, place(name))
        assert (found.training_metrics.count, found.validation_metrics.count) == counts
        assert found.validation_metrics.is_valid == (counts[1] > 0)
        assert ("validation_accuracy" in found.history) == (counts[1] > 0)
    for ratio in (0.0, 1.0):
        with pytest.raises(InvalidParameter):
            ml.Validation.split(ratio)


def test_one_limit_decides(data: ml.DataSource, place: Place) -> None:
    assert ml.ModelParameters().max_iterations == 25
    found = ml.Classifier(data, replace(PARAMETERS, max_iterations=3), place("limit", iterations=2))
    assert len(found.history["loss"]) == 2


def test_extractors_and_new_images() -> None:
    algorithm = ml.ModelParameters().algorithm
    assert algorithm.feature_extractor == ml.scene_print() == ml.scene_print(revision=2)
    assert ml.scene_print(1).dimension == ml.scene_print(2).dimension == 1280
    assert (ml.scene_print(1).input_side, ml.scene_print(2).input_side) == (297, 256)
    assert algorithm.classifier == ml.LogisticRegressor()
    views = {"crop": 4, "rotate": 4, "blur": 4, "expose": 4, "noise": 4, "flip": 1, "flip-vertical": 1}
    for name, count in views.items():
        assert sum(option.views for option in ml.ModelParameters(augmentation={name}).views.options) == count
    both = ml.ModelParameters(augmentation=[ml.Flip(horizontal=True, vertical=True), "crop"])
    assert sum(option.views for option in both.views.options) == 3 + 4
    assert both == ml.ModelParameters(augmentation=("crop", "flip", "flip-vertical"))
    assert ml.ModelParameters().augmentation == ()


# Sessions, jobs and metrics


def test_what_a_session_tells_and_keeps(data: ml.DataSource, place: Place, classifier: ml.Classifier) -> None:
    where = place("kept")
    ml.Classifier(data, PARAMETERS, where)
    with ml.Classifier.restore_training_session(where) as session:
        assert session.parameters == where
        assert (session.phase, session.status) == (ml.Phase.EVALUATING, ml.Status.FINISHED)
        assert session.iteration == session.checkpoints[-1].iteration
        assert session.date.utcoffset() == UTC.utcoffset(None)
        assert session.history.keys() == set(METRICS)
        trained = [checkpoint for checkpoint in session.checkpoints if checkpoint.phase == "training"]
        assert [checkpoint.iteration for checkpoint in trained] == [1, 2, 3, 4]
        assert trained[1].metrics == {name: values[1] for name, values in session.history.items()}
        assert trained[0].to_json()["url"] == trained[0].url
        assert session.verify().is_whole
        gone = session.remove_checkpoints(lambda checkpoint: checkpoint.iteration < 3 or checkpoint == trained[3])
        assert list(gone) == trained[:2]
        assert [each.phase for each in session.checkpoints] == ["extracting", "training", "training", "evaluating"]
        assert session.verify().is_whole
        assert ml.Classifier.resume(session).result().model_digest == classifier.model_digest
        with ml.Classifier.make_training_session(data, PARAMETERS, place("fresh")) as fresh:
            with pytest.raises(UsageError, match="has not finished extracting"):
                fresh.reuse_extracted_features(fresh)
            fresh.reuse_extracted_features(session)
            with pytest.raises(UsageError, match="has checkpoints already"):
                session.reuse_extracted_features(fresh)


def test_what_a_job_tells(job: ml.Job[ml.Classifier], session: ml.TrainingSession) -> None:
    async def awaited() -> ml.Classifier:
        return await job

    assert asyncio.run(awaited()) is job.result()
    assert job.start_date.utcoffset() == UTC.utcoffset(None)
    assert job.start_date <= session.creation_date
    assert (job.phase, job.is_cancelled, job.done()) == ("evaluating", False, True)
    assert [each.url for each in job.checkpoints] == [each.url for each in session.checkpoints]
    events = list(job.events())
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[-1], JobFinished)
    training = [event for event in events if isinstance(event, Progressed) and event.phase == "training"]
    assert training[-1].metrics.keys() == set(METRICS)
    progress = job.progress
    assert isinstance(progress, ml.Progress)
    assert (progress.phase, progress.item_count, progress.fraction_completed) == ("evaluating", 22, 1.0)
    assert progress.elapsed >= 0


def test_cancelling_is_pausing(data: ml.DataSource, place: Place, classifier: ml.Classifier) -> None:
    seen: list[Event] = []
    job = ml.Classifier.train(data, PARAMETERS, place("paused"))
    job.add_event_callback(seen.append)
    job.cancel()
    assert job.is_cancelled
    with pytest.raises(Cancelled):
        job.result()
    with ml.Classifier.restore_training_session(place("paused")) as session:
        assert session.status in (ml.Status.NEW, ml.Status.PAUSED)
        assert ml.Classifier.resume(session).result().model_digest == classifier.model_digest
    again = ml.Classifier.train(data, PARAMETERS, place("paused"))
    assert again.result().model_digest == classifier.model_digest


def test_phases_and_states() -> None:
    trained = ["choosing", "extracting", "selecting", "training", "finetuning", "evaluating"]
    assert [*ml.Phase] == ["initialized", *trained, "inferencing"]
    assert [*ml.Status] == ["new", "running", "paused", "interrupted", "failed", "finished"]


def test_metrics_and_plots(classifier: ml.Classifier, session: ml.TrainingSession, tmp_path: Path) -> None:
    metrics = classifier.testing_metrics
    assert metrics.is_valid
    assert metrics.error is None
    assert metrics.accuracy == 1 - metrics.classification_error
    assert list(metrics.confusion.columns) == ["True Label", "Predicted", "Count"]
    assert int(metrics.confusion["Count"].sum()) == metrics.count == 6
    assert list(metrics.precision_recall.columns[:4]) == ["Label", "Count", "Precision", "Recall"]
    assert list(metrics.precision_recall["Label"]) == list(metrics.classes) == list(LABELS)
    assert np.array_equal(metrics.confusion_frame.to_numpy(), metrics.confusion_matrix)
    ones = metrics.true_positives + metrics.false_negatives
    assert np.array_equal(ones, metrics.class_counts)
    assert np.array_equal(ones + metrics.false_positives + metrics.true_negatives, [6, 6])
    assert metrics.top_k_accuracy(2) == 1.0
    empty = ml.ClassifierMetrics.invalid("nothing was evaluated")
    assert (empty.is_valid, empty.error, empty.count) == (False, "nothing was evaluated", 0)
    classifier.plot_history(tmp_path / "history.png")
    classifier.plot_confusion("test", tmp_path / "confusion.png")
    ml.plot_history(session, tmp_path / "session.svg")
    assert len(list(tmp_path.iterdir())) == 3
