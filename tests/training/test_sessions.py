"""The rules of sessions, on real trainings: start, resume, extend, refuse."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.errors import (
    Cancelled,
    ForeignFiles,
    IncompatibleParameters,
    ModifiedTrainingData,
    NoUsableCheckpoint,
    SessionNotFound,
    UnreadableImage,
    UnusableData,
)
from mlsession.events import CheckpointSkipped, Event, ItemSkipped, PhaseStarted, Progressed, SessionCreated
from mlsession.session.watching.status import Status

from .conftest import LABELS, UNTUNED, Start

pytestmark = pytest.mark.sampled(0.6)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def started(job: ml.Job[ml.Classifier]) -> list[tuple[str, int]]:
    job.exception()
    return [(event.phase, event.iteration) for event in job.events() if isinstance(event, PhaseStarted)]


def cancel_at(job: ml.Job[ml.Classifier], phase: str, iteration: int) -> None:
    """Asks the job to stop once it has reported a step; it stops there or soon after."""
    for event in job.events():
        if isinstance(event, Progressed) and event.phase == phase and event.iteration >= iteration:
            job.cancel()
            break
    with pytest.raises(Cancelled):
        job.result()


def test_a_training_gives_a_good_classifier_and_says_how_good(start: Start, test_photos: Path) -> None:
    classifier = start(testing=test_photos).result()
    assert classifier.classes == LABELS
    assert classifier.testing_metrics.accuracy > 0.9
    assert classifier.testing_metrics.count == 18
    assert classifier.training_metrics.count + classifier.validation_metrics.count == 51
    assert classifier.validation_metrics.count == 5  # 10 % of 51
    assert classifier.training_metrics.accuracy == 1.0


def test_the_same_call_again_returns_at_once_and_writes_nothing(start: Start, tmp_path: Path) -> None:
    first = start().result()
    before = contents(tmp_path / "session")
    again = start()
    assert again.result().model_digest == first.model_digest
    assert started(again) == []
    assert contents(tmp_path / "session") == before


def test_sessions_elsewhere_give_the_same_model(start: Start, tmp_path: Path) -> None:
    first = start(session=tmp_path / "one", checkpoint_interval=3).result()
    second = start(session="memory://sessions/elsewhere", cache=None).result()
    assert first.model_digest == second.model_digest


@pytest.fixture(scope="module")
def whole(train_photos: Path, test_photos: Path, cache: str, tmp_path_factory: pytest.TempPathFactory) -> ml.Classifier:
    """What 80 iterations give that nobody cancels."""
    where = ml.SessionParameters(tmp_path_factory.mktemp("whole") / "session", iterations=80, cache=cache)
    train, test = (ml.DataSource.labeled_directories(photos) for photos in (train_photos, test_photos))
    return ml.Classifier.train(train, UNTUNED, where, testing=test).result()


@pytest.mark.parametrize(("phase", "iteration"), [("extracting", 1), ("training", 1), ("training", 9)])
def test_cancelled_and_resumed_is_as_if_never_cancelled(
    start: Start, whole: ml.Classifier, test_photos: Path, tmp_path: Path, phase: str, iteration: int
) -> None:
    # Without the cache extracting takes a while, and 80 iterations do: the job is still in the phase when it stops.
    job = start(testing=test_photos, report_interval=1, iterations=80, cache=None)
    cancel_at(job, phase, iteration)
    session = ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session"))
    assert session.status is Status.PAUSED
    assert session.phase == phase
    resumed = start(testing=test_photos, iterations=80)
    assert resumed.result().model_digest == whole.model_digest
    assert resumed.result().testing_metrics.to_json() == whole.testing_metrics.to_json()
    assert started(resumed)[0] == (phase, session.iteration)


def test_ten_and_ten_more_iterations_equal_twenty(start: Start, tmp_path: Path) -> None:
    twenty = start(session=tmp_path / "twenty", iterations=20).result()
    ten = start(iterations=10).result()
    extended = start(iterations=20)
    assert ten.model_digest != twenty.model_digest
    assert extended.result().model_digest == twenty.model_digest
    assert started(extended) == [("training", 10), ("evaluating", 0)]
    histories = [
        ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / name)).history
        for name in ("session", "twenty")
    ]
    assert histories[0] == histories[1]
    assert {len(values) for values in histories[0].values()} == {20}
    assert set(histories[0]) == {"loss", "accuracy", "validation_loss", "validation_accuracy"}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        (replace(UNTUNED, seed=1), "seed"),
        (replace(UNTUNED, validation=ml.Validation.none()), "validation.kind"),
        (
            replace(UNTUNED, algorithm=ml.TransferLearning(classifier=ml.LogisticRegressor(l2=0.5))),
            "algorithm.classifier.l2",
        ),
        (ml.ModelParameters(), "tune"),
    ],
)
def test_a_parameter_that_matters_is_refused_and_nothing_changes(
    start: Start, tmp_path: Path, parameters: ml.ModelParameters, named: str
) -> None:
    start(iterations=2).result()
    before = contents(tmp_path / "session")
    with pytest.raises(IncompatibleParameters) as caught:
        start(iterations=2, parameters=parameters).result()
    assert caught.value.parameter == named
    assert caught.value.original != caught.value.new
    assert contents(tmp_path / "session") == before


def test_changed_data_are_refused_with_their_names(start: Start, photos: Path) -> None:
    start(data=photos, iterations=2).result()
    first, second, *_ = sorted((photos / "Kiwi").iterdir())
    shutil.copy2(first, photos / "Lemon" / "new.jpg")
    second.unlink()
    with pytest.raises(ModifiedTrainingData) as caught:
        start(data=photos, iterations=2).result()
    assert caught.value.added == ("Lemon/new.jpg",)
    assert caught.value.removed == (f"Kiwi/{second.name}",)
    assert "new session" in str(caught.value)


def test_a_moved_image_counts_as_relabeled(start: Start, photos: Path) -> None:
    start(data=photos, iterations=2).result()
    photo = sorted((photos / "Kiwi").iterdir())[0]
    photo.rename(photos / "Lemon" / photo.name)
    with pytest.raises(ModifiedTrainingData) as caught:
        start(data=photos, iterations=2).result()
    assert caught.value.relabeled == (f"Lemon/{photo.name}",)


def test_another_content_of_the_same_size_and_time_is_noticed(start: Start, photos: Path) -> None:
    start(data=photos, iterations=2).result()
    photo = sorted((photos / "Kiwi").iterdir())[0]
    times = photo.stat()
    content = bytearray(photo.read_bytes())
    content[-100] ^= 1
    photo.write_bytes(content)
    os.utime(photo, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ModifiedTrainingData) as caught:
        start(data=photos, iterations=2).result()
    assert caught.value.replaced == (f"Kiwi/{photo.name}",)


def test_touched_and_copied_images_are_no_change(start: Start, photos: Path, tmp_path: Path) -> None:
    first = start(data=photos, iterations=2).result()
    for photo in photos.rglob("*.jpg"):
        photo.touch()
    assert start(data=photos, iterations=2).result().model_digest == first.model_digest
    moved = tmp_path / "moved"
    shutil.copytree(photos, moved)
    assert start(data=moved, iterations=2).result().model_digest == first.model_digest


def test_other_test_data_only_evaluate_anew(start: Start, test_photos: Path, photos: Path) -> None:
    first = start(iterations=3).result()
    assert not first.testing_metrics.is_valid
    job = start(iterations=3, testing=test_photos)
    assert started(job) == [("evaluating", 0)]
    assert job.result().model_digest == first.model_digest
    assert job.result().testing_metrics.count == 18
    again = start(iterations=3, testing=photos)
    assert started(again) == [("evaluating", 0)]
    assert again.result().testing_metrics.count == 51


def test_every_training_checkpoint_gives_its_classifier(start: Start, tmp_path: Path, test_photos: Path) -> None:
    final = start(iterations=5, checkpoint_interval=1).result()
    session = ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session"))
    by_phase = {phase: [one for one in session.checkpoints if one.phase == phase] for phase in ml.Phase}
    assert [one.iteration for one in by_phase[ml.Phase.TRAINING]] == [1, 2, 3, 4, 5]
    digests = [ml.Classifier.from_checkpoint(one).model_digest for one in by_phase[ml.Phase.TRAINING]]
    assert len(set(digests)) == 5
    assert digests[-1] == final.model_digest
    end = ml.Classifier.from_checkpoint(by_phase[ml.Phase.EVALUATING][-1].url)
    assert end.model_digest == final.model_digest
    assert end.training_metrics.to_json() == final.training_metrics.to_json()
    assert not ml.Classifier.from_checkpoint(by_phase[ml.Phase.TRAINING][0]).training_metrics.is_valid
    with pytest.raises(NoUsableCheckpoint, match="only features"):
        ml.Classifier.from_checkpoint(by_phase[ml.Phase.EXTRACTING][-1])
    accuracy = by_phase[ml.Phase.TRAINING][-1].metrics["accuracy"]
    assert accuracy == session.history["accuracy"][-1]


def test_a_session_is_made_inspected_and_resumed_from_the_store_alone(
    train_photos: Path, tmp_path: Path, cache: str, start: Start
) -> None:
    where = ml.SessionParameters(tmp_path / "session", iterations=4, cache=cache)
    source = ml.DataSource.labeled_directories(train_photos)
    session = ml.Classifier.make_training_session(source, UNTUNED, where)
    assert (session.status, session.phase, session.iteration, session.checkpoints) == (
        Status.NEW,
        "initialized",
        0,
        (),
    )
    classifier = ml.Classifier.resume(ml.Classifier.restore_training_session(where)).result()
    session.refresh()
    assert session.status is Status.FINISHED
    assert classifier.model_digest == start(session=tmp_path / "other", iterations=4).result().model_digest


def test_a_finished_session_resumes_without_its_data(
    start: Start, photos: Path, tmp_path: Path, test_photos: Path
) -> None:
    first = start(data=photos, iterations=3, testing=test_photos).result()
    shutil.rmtree(photos)
    session = ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session"))
    again = ml.Classifier.resume(session).result()
    assert again.model_digest == first.model_digest
    assert again.testing_metrics.count == 18
    raised = ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session", iterations=6))
    assert ml.Classifier.resume(raised).result().model_digest != first.model_digest


def test_there_is_no_session_to_restore(tmp_path: Path) -> None:
    with pytest.raises(SessionNotFound):
        ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_foreign_files_are_left_alone(start: Start, tmp_path: Path) -> None:
    (tmp_path / "session").mkdir()
    (tmp_path / "session" / "thesis.txt").write_text("mine")
    with pytest.raises(ForeignFiles, match=r"thesis\.txt"):
        start().result()
    assert contents(tmp_path / "session") == {"thesis.txt": b"mine"}


def test_images_that_cannot_be_read_are_skipped_and_named(start: Start, photos: Path, tmp_path: Path) -> None:
    good = start(data=photos, session=tmp_path / "good").result()
    sample = sorted((photos / "Kiwi").iterdir())[0]
    (photos / "Kiwi" / "cut.jpg").write_bytes(sample.read_bytes()[:2000])
    (photos / "Lemon" / "page.jpg").write_bytes(b"<html>not found</html>")
    job = start(data=photos)
    skipped = {event.item: event.reason for event in _events(job) if isinstance(event, ItemSkipped)}
    assert set(skipped) == {"Kiwi/cut.jpg", "Lemon/page.jpg"}
    assert all(skipped.values())
    assert job.result().model_digest == good.model_digest
    with pytest.raises(UnreadableImage, match=r"Kiwi/cut\.jpg"):
        start(data=photos, session=tmp_path / "strict", parameters=ml.ModelParameters(on_bad_image="fail")).result()


def test_damaged_features_are_made_again_and_said(start: Start, photos: Path, tmp_path: Path) -> None:
    whole = start(session=tmp_path / "whole", iterations=8).result()
    start(data=photos, iterations=4).result()
    shard = max((tmp_path / "session" / "blobs").rglob("*-*"), key=lambda path: path.stat().st_size)
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    for photo in photos.rglob("*.jpg"):
        photo.touch()
    job = start(data=photos, iterations=8)
    assert job.result().model_digest == whole.model_digest
    skipped = [event for event in _events(job) if isinstance(event, CheckpointSkipped)]
    assert [event.key.rpartition("/")[2] for event in skipped] == [shard.name]


def test_a_class_of_which_nothing_can_be_read_is_named(start: Start, photos: Path) -> None:
    for photo in (photos / "Kiwi").iterdir():
        photo.write_bytes(b"nothing")
    with pytest.raises(UnusableData, match="Kiwi"):
        start(data=photos).result()


def test_validation_as_asked(start: Start, tmp_path: Path, test_photos: Path) -> None:
    none = start(
        session=tmp_path / "none", parameters=ml.ModelParameters(validation=ml.Validation.none()), iterations=3
    )
    assert not none.result().validation_metrics.is_valid
    assert none.result().training_metrics.count == 51
    third = ml.ModelParameters(validation=ml.Validation.split(1 / 3))
    split = start(session=tmp_path / "split", parameters=third, iterations=3).result()
    assert (split.validation_metrics.count, split.training_metrics.count) == (17, 34)
    source = ml.DataSource.labeled_directories(test_photos)
    given = ml.ModelParameters(validation=ml.Validation.data(source))
    own = start(session=tmp_path / "own", parameters=given, iterations=3).result()
    assert (own.validation_metrics.count, own.training_metrics.count) == (18, 51)
    assert own.model_digest == none.result().model_digest
    assert start(session=tmp_path / "own", parameters=given, iterations=3).result().model_digest == own.model_digest


def test_labels_that_training_does_not_know_are_refused_before_any_work(
    start: Start, tmp_path: Path, photos: Path
) -> None:
    (photos / "Kiwi").rename(photos / "Kivi")
    with pytest.raises(UnusableData, match="Kivi"):
        start(testing=photos).result()
    assert not (tmp_path / "session").exists()


def test_without_a_folder_the_session_is_temporary_and_says_so(train_photos: Path) -> None:
    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(train_photos / ".." / "train"),
        ml.ModelParameters(max_iterations=1),
    )
    created = [event for event in _events(job) if isinstance(event, SessionCreated)]
    assert [event.temporary for event in created] == [True]
    job.result()
    shutil.rmtree(created[0].url)


def _events(job: ml.Job[ml.Classifier]) -> list[Event]:
    job.exception()
    return list(job.events())
