"""Changed data taken on, and features taken over, on real trainings."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mlsession as ml
from mlsession.errors import Cancelled, IncompatibleParameters, ModifiedTrainingData, UsageError
from mlsession.events import DonorFailed, PhaseFinished, PhaseStarted, Progressed
from mlsession.session.phase import Phase
from mlsession.training.images.revision import split_sides
from tests.photos import PHOTOS

from .conftest import Start

pytestmark = pytest.mark.sampled(0.6)

Update = Callable[..., ml.Job[ml.Classifier]]


def add_photos(folder: Path, label: str, count: int) -> None:
    """More photos of a label, ones that no other test trains on."""
    (folder / label).mkdir(exist_ok=True)
    for photo in sorted((PHOTOS / "test" / label).iterdir())[-count:]:
        shutil.copy2(photo, folder / label / f"new-{photo.name}")


def reused(job: ml.Job[ml.Classifier]) -> int:
    """Rows of the extraction that were not computed."""
    job.result()
    (extracted,) = (
        event for event in job.events() if isinstance(event, PhaseFinished) and event.phase == Phase.EXTRACTING
    )
    return int(extracted.metrics.get("reused", 0))


def sides(folder: Path) -> dict[bytes, bool]:
    with ml.Classifier.restore_training_session(ml.SessionParameters(folder)) as session:
        return {content: bool(side) for content, side in split_sides(session).items()}


@pytest.fixture
def train(start: Start, photos: Path, tmp_path: Path) -> Update:
    """Trains on photos that a test may change; extraction comes from nowhere but the session itself."""

    def begin(session: Path = tmp_path / "session", data: Path = photos, **options: object) -> ml.Job[ml.Classifier]:
        return start(data=data, session=session, **{"cache": None, **options})

    return begin


def test_added_images_alone_are_extracted_and_no_image_changes_sides(
    train: Update, photos: Path, tmp_path: Path
) -> None:
    first = train(iterations=5).result()
    before = sides(tmp_path / "session")
    assert sum(before.values()) == 5
    add_photos(photos, "Lemon", 6)
    updated = train(iterations=5, on_modified_data="update")
    assert reused(updated) == 51
    assert updated.result().training_metrics.count + updated.result().validation_metrics.count == 57
    assert updated.result().model_digest != first.model_digest
    after = sides(tmp_path / "session")
    assert before.items() <= after.items()
    assert len(after) == 57
    again = train(iterations=5)
    assert again.result().model_digest == updated.result().model_digest
    assert not [event for event in again.events() if isinstance(event, PhaseStarted)], "there was nothing left to do"


def test_an_update_that_is_cut_short_goes_on(train: Update, photos: Path, tmp_path: Path) -> None:
    train(iterations=5).result()
    add_photos(photos, "Kiwi", 6)
    shutil.copytree(tmp_path / "session", tmp_path / "whole")
    whole = train(session=tmp_path / "whole", iterations=5, on_modified_data="update").result()
    job = train(iterations=5, on_modified_data="update", report_interval=1)
    for event in job.events():
        if isinstance(event, Progressed) and event.phase == Phase.EXTRACTING:
            job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    with ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session", cache=None)) as session:
        assert session.phase == Phase.EXTRACTING
        resumed = ml.Classifier.resume(session).result()
    assert resumed.model_digest == whole.model_digest
    assert sides(tmp_path / "session") == sides(tmp_path / "whole")


def test_removed_relabelled_and_added_labels(train: Update, photos: Path, tmp_path: Path) -> None:
    old = train(iterations=5).result()
    with ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session")) as session:
        checkpoint = [each for each in session.checkpoints if each.phase == Phase.TRAINING][-1]
    (photos / "Banana" / min(path.name for path in (photos / "Banana").iterdir())).unlink()
    moved = min((photos / "Kiwi").iterdir())
    moved.rename(photos / "Lemon" / moved.name)
    add_photos(photos, "Tomato", 6)
    job = train(iterations=5, on_modified_data="update")
    assert reused(job) == 50
    assert job.result().classes == ("Banana", "Kiwi", "Lemon", "Tomato")
    assert job.result().training_metrics.count + job.result().validation_metrics.count == 56
    # A checkpoint of before keeps the labels that it was trained on.
    restored = ml.Classifier.from_checkpoint(checkpoint)
    assert restored.classes == ("Banana", "Kiwi", "Lemon")
    assert restored.model_digest == old.model_digest


def test_ignoring_keeps_what_was_recorded(train: Update, photos: Path) -> None:
    first = train(iterations=5).result()
    add_photos(photos, "Lemon", 2)
    ignored = train(iterations=5, on_modified_data="ignore")
    assert ignored.result().model_digest == first.model_digest
    assert not [event for event in ignored.events() if isinstance(event, PhaseStarted)]


def test_by_default_changes_are_refused_with_the_cure(train: Update, photos: Path) -> None:
    train(iterations=5).result()
    add_photos(photos, "Lemon", 2)
    with pytest.raises(
        ModifiedTrainingData, match=r"2 added .* on_modified_data='update' \(--on-modified-data update\)"
    ):
        train(iterations=5).result()


def test_data_that_did_not_change_are_not_updated(train: Update, photos: Path) -> None:
    first = train(iterations=5).result()
    for photo in photos.rglob("*.jpg"):
        photo.touch()
    again = train(iterations=5, on_modified_data="update")
    assert again.result().model_digest == first.model_digest
    assert not [event for event in again.events() if isinstance(event, PhaseStarted)]


OTHER_HEAD = ml.ModelParameters(algorithm=ml.TransferLearning(classifier=ml.LogisticRegressor(l2=0.01)))


def new_session(photos: Path, folder: Path, parameters: ml.ModelParameters = OTHER_HEAD) -> ml.TrainingSession:
    source = ml.DataSource.labeled_directories(photos)
    return ml.Classifier.make_training_session(source, parameters, ml.SessionParameters(folder, cache=None))


def test_another_head_on_the_features_of_a_donor(train: Update, photos: Path, tmp_path: Path) -> None:
    train(iterations=3).result()
    add_photos(photos, "Lemon", 3)
    with (
        ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session")) as donor,
        new_session(photos, tmp_path / "other") as session,
    ):
        session.reuse_extracted_features(donor)
        job = ml.Classifier.resume(session)
        assert reused(job) == 51
        alone = train(session=tmp_path / "alone", parameters=OTHER_HEAD)
        assert reused(alone) == 0
        assert job.result().model_digest == alone.result().model_digest
        with pytest.raises(UsageError, match="has checkpoints already"):
            session.reuse_extracted_features(donor)


def test_a_donor_must_have_extracted_alike(train: Update, photos: Path, tmp_path: Path) -> None:
    lite1 = ml.ModelParameters(algorithm=ml.TransferLearning(feature_extractor=ml.scene_print(revision=1)))
    with (
        new_session(photos, tmp_path / "donor") as unfinished,
        new_session(photos, tmp_path / "other") as session,
        new_session(photos, tmp_path / "revision", lite1) as revision,
    ):
        with pytest.raises(UsageError, match="has not finished extracting"):
            session.reuse_extracted_features(unfinished)
        ml.Classifier.resume(unfinished).result()
        unfinished.refresh()
        with pytest.raises(IncompatibleParameters, match=r"algorithm\.feature_extractor"):
            revision.reuse_extracted_features(unfinished)


def test_a_donor_that_is_gone_costs_time_only(train: Update, photos: Path, tmp_path: Path) -> None:
    train(iterations=3).result()
    with (
        ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session")) as donor,
        new_session(photos, tmp_path / "other") as session,
    ):
        session.reuse_extracted_features(donor)
        ml.Classifier.delete_training_session(ml.SessionParameters(tmp_path / "session"))
        job = ml.Classifier.resume(session)
        assert reused(job) == 0
        assert [event for event in job.events() if isinstance(event, DonorFailed)]
        assert np.isfinite(job.result().training_metrics.accuracy)
