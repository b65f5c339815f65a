"""Augmentation in whole trainings: resumed, refused, shared through the cache, and counted by image."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mlsession as ml
from mlsession.augment.options import AugmentationOption
from mlsession.errors import Cancelled, IncompatibleParameters
from mlsession.events import ItemSkipped, NumericsChanged, Progressed
from mlsession.session.phase import Array, Phase
from mlsession.training.findings.summary import SessionSummary
from tests.photos import copy_photos

LABELS = ("Banana", "Kiwi", "Lemon")
EACH = 3
VIEWS = 4
AUGMENTED = ml.ModelParameters(
    augmentation=["flip", ml.Crop(views=2)], validation=ml.Validation.split(1 / 3), max_iterations=8
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos of each of three kinds, and a file that is none; not to be changed."""
    folder = copy_photos(tmp_path_factory.mktemp("photos") / "train", "train", EACH, LABELS)
    (folder / "Kiwi" / "broken.jpg").write_bytes(b"not a picture")
    return folder


def start(
    photos: Path,
    session: Path,
    parameters: ml.ModelParameters = AUGMENTED,
    cache: Path | None = None,
) -> ml.Job[ml.Classifier]:
    kept = None if cache is None else str(cache)
    where = ml.SessionParameters(session, checkpoint_interval=1, report_interval=1, cache=kept)
    return ml.Classifier.train(ml.DataSource.labeled_directories(photos), parameters, where)


def opened(session: Path) -> ml.TrainingSession:
    return ml.Classifier.restore_training_session(ml.SessionParameters(session))


def rows_of(session: Path) -> dict[str, Array]:
    with opened(session) as stored:
        blocks = list(stored.past.rows(Phase.EXTRACTING))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def num_reused(job: ml.Job[ml.Classifier]) -> float:
    """Rows that came out of the cache."""
    job.result()
    reports = [event for event in job.events() if isinstance(event, Progressed) and event.phase == Phase.EXTRACTING]
    return reports[-1].metrics.get("reused", 0.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, ml.Classifier]:
    """A session that nobody disturbed; its features are in the cache."""
    session = tmp_path_factory.mktemp("whole") / "session"
    return session, start(photos, session, cache=cache).result()


def test_views_are_trained_on_and_images_are_counted(whole: tuple[Path, ml.Classifier]) -> None:
    session, classifier = whole
    assert classifier.training_metrics.count == 6
    assert classifier.validation_metrics.count == 3
    with opened(session) as stored:
        summary = SessionSummary.of(stored)
        assert stored.past.state(Phase.TRAINING).data["rows"] == 6 * VIEWS
    assert summary.counts.to_json() == {"train": 6, "validation": 3, "test": 0, "skipped": 1}
    assert [skipped.path for skipped in summary.skipped] == ["Kiwi/broken.jpg"]
    assert rows_of(session)["view"].tolist() == [0, 1, 2, 3] * 10


def test_stopped_while_it_extracts_it_goes_on_to_the_same_model(
    photos: Path, tmp_path: Path, whole: tuple[Path, ml.Classifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two images a step: there is time to stop, and the model does not depend on it.
    monkeypatch.setattr("mlsession.phases.extract.ROWS", 8)
    job = start(photos, tmp_path / "session")
    next(event for event in job.events() if isinstance(event, Progressed) and event.phase == Phase.EXTRACTING)
    job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    with opened(tmp_path / "session") as stored:
        assert stored.phase == Phase.EXTRACTING
        assert 1 <= stored.iteration < 5
    resumed = start(photos, tmp_path / "session")
    assert resumed.result().model_digest == whole[1].model_digest
    assert not [event for event in resumed.events() if isinstance(event, NumericsChanged)]
    for name, array in rows_of(whole[0]).items():
        assert rows_of(tmp_path / "session")[name].tobytes() == array.tobytes()


def test_a_session_without_augmentation_shares_the_images_themselves(
    photos: Path, tmp_path: Path, whole: tuple[Path, ml.Classifier], cache: Path
) -> None:
    plain = replace(AUGMENTED, augmentation=())
    job = start(photos, tmp_path / "plain", plain, cache)
    assert num_reused(job) == 9
    assert job.result().model_digest != whole[1].model_digest
    alone = start(photos, tmp_path / "alone", plain)
    assert num_reused(alone) == 0
    assert alone.result().model_digest == job.result().model_digest
    originals = rows_of(whole[0])["view"] == 0
    assert rows_of(tmp_path / "alone")["features"].tobytes() == rows_of(whole[0])["features"][originals].tobytes()
    assert [event.item for event in alone.events() if isinstance(event, ItemSkipped)] == ["Kiwi/broken.jpg"]


def test_more_options_take_the_views_that_are_there(
    photos: Path, tmp_path: Path, whole: tuple[Path, ml.Classifier], cache: Path
) -> None:
    more = ml.ModelParameters(augmentation={ml.Flip(), ml.Crop(views=2), ml.Noise(views=1)}, max_iterations=1)
    assert num_reused(start(photos, tmp_path / "more", more, cache)) == 9 * VIEWS


def test_other_augmentation_is_another_session(photos: Path, whole: tuple[Path, ml.Classifier]) -> None:
    session, classifier = whole
    same = replace(AUGMENTED, augmentation=(ml.Crop(views=2), ml.Flip()))
    assert start(photos, session, same).result().model_digest == classifier.model_digest
    others: list[Collection[AugmentationOption | str]] = [
        (),
        ["flip"],
        ["flip", ml.Crop(views=2, side=(0.5, 0.9))],
    ]
    for options in others:
        with pytest.raises(IncompatibleParameters, match="augmentation"):
            start(photos, session, replace(AUGMENTED, augmentation=options)).result()


def test_a_session_goes_on_from_the_store_alone(
    photos: Path, tmp_path: Path, whole: tuple[Path, ml.Classifier], cache: Path
) -> None:
    where = ml.SessionParameters(tmp_path / "session", cache=str(cache))
    source = ml.DataSource.labeled_directories(photos)
    ml.Classifier.make_training_session(source, AUGMENTED, where).close()
    classifier = ml.Classifier.resume(ml.Classifier.restore_training_session(where)).result()
    assert classifier.model_digest == whole[1].model_digest
