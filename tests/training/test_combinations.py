"""Features of sessions that meet: changed data, donors, test sets, old checkpoints, removal, damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.errors import Cancelled, DamagedData, StoreUnavailable, UnusableData
from mlsession.events import DonorFailed, PhaseFinished, PhaseStarted
from mlsession.phases.featured import Picture
from mlsession.phases.featurize import Featurizer
from mlsession.session.phase import Phase
from mlsession.training.images.inputs import SPLIT_SIDES, TRAINING_INDEX
from mlsession.training.workers import launching
from tests.photos import copy_photos

from .conftest import LABELS, Start

Train = Callable[..., ml.Job[ml.Classifier]]
UPDATE = {"on_modified_data": "update"}


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """7 photos of each of three kinds, which extracting takes two batches for; a test may change them."""
    return copy_photos(tmp_path / "few", "train", 7, LABELS)


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    """A test set of 2 photos each; a test may change it."""
    return copy_photos(tmp_path / "held-out", "test", 2, LABELS)


@pytest.fixture
def train(start: Start, few: Path, held_out: Path) -> Train:
    def begin(**options: object) -> ml.Job[ml.Classifier]:
        return start(**{"data": few, "testing": held_out, "iterations": 2, **options})

    return begin


def cut_short(begin: Callable[[], ml.Job[ml.Classifier]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that is cancelled in its first batch, before that is saved."""
    begun: Future[ml.Job[ml.Classifier]] = Future()
    compute = Featurizer.batches

    def cancelling(self: Featurizer, *arguments: object, **options: object) -> Iterator[tuple[Picture, ...]]:
        for pictures in compute(self, *arguments, **options):  # type: ignore[arg-type]
            begun.result().cancel()
            yield pictures

    with monkeypatch.context() as patched:
        patched.setattr(Featurizer, "batches", cancelling)
        begun.set_result(begin())
        with pytest.raises(Cancelled):
            begun.result().result()


def opened(tmp_path: Path, **options: object) -> ml.TrainingSession:
    parameters = ml.SessionParameters(tmp_path / "session", **options)  # type: ignore[arg-type]
    return ml.Classifier.restore_training_session(parameters)


def damage(tmp_path: Path, key: str) -> None:
    file = tmp_path / "session" / key
    file.write_bytes(bytes(len(file.read_bytes())))


def test_half_an_update_gives_the_old_classifier_its_old_labels(
    train: Train, few: Path, held_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = train().result()
    for folder in (few, held_out):
        (folder / "Kiwi").rename(folder / "Zucchini")
    cut_short(lambda: train(**UPDATE), monkeypatch)
    with opened(tmp_path) as session:
        newest = session.checkpoints[-1]
        assert newest.phase == Phase.EXTRACTING
        assert session.verify(deep=True).is_whole
        restored = ml.Classifier.from_checkpoint(newest)
        assert restored.classes == old.classes == LABELS
        assert restored.testing_metrics.to_json() == old.testing_metrics.to_json()
        assert restored.results("test").classes == LABELS
        session.remove_checkpoints(lambda checkpoint: True)
        assert ml.Classifier.load(session.url).classes == LABELS
    assert train().result().classes == ("Banana", "Lemon", "Zucchini")


def test_with_ignored_changes_the_test_set_is_held_against_the_recorded_labels(
    train: Train, few: Path, held_out: Path
) -> None:
    first = train().result()
    shutil.rmtree(few / "Kiwi")
    assert train(on_modified_data="ignore").result().model_digest == first.model_digest
    for folder in (few, held_out):
        shutil.copytree(folder / "Lemon", folder / "Tomato")
    with pytest.raises(UnusableData, match="label 'Tomato' is not among those of the training data"):
        train(on_modified_data="ignore").result()


def test_resuming_takes_the_test_set_on_with_the_changes(
    train: Train, few: Path, held_out: Path, cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_short(train, monkeypatch)
    for folder in (few, held_out):
        shutil.rmtree(folder / "Kiwi")
    with opened(tmp_path, cache=cache, **UPDATE) as session:
        resumed = ml.Classifier.resume(session).result()
    assert resumed.classes == ("Banana", "Lemon")
    assert resumed.testing_metrics.count == 4


def test_a_session_that_was_made_and_never_opened_goes_on_with_its_test_set(
    train: Train, cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        raise StoreUnavailable("killed")

    with monkeypatch.context() as patched:
        patched.setattr(launching, "advance_session", killed)
        with pytest.raises(StoreUnavailable):
            train().result()
    with opened(tmp_path, cache=cache) as session:
        assert not session.attachments
        assert ml.Classifier.resume(session).result().testing_metrics.count == 6


def test_a_donor_is_not_asked_for_test_images(train: Train, few: Path, tmp_path: Path) -> None:
    train(keep_last=2).result()
    min((few / "Kiwi").iterdir()).unlink()
    updated = train(keep_last=2, **UPDATE)
    assert updated.result().training_metrics.count == 20
    more = copy_photos(tmp_path / "more", "test", 3, LABELS)
    # Retention has removed the extraction of before by now, and nobody needs it.
    evaluated = train(keep_last=2, testing=more)
    assert evaluated.result().testing_metrics.count == 9
    for job in (updated, evaluated):
        assert not [event for event in job.events() if isinstance(event, DonorFailed)]


def test_a_damaged_donor_costs_time_and_damaged_sides_end_what_needs_them(
    train: Train, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train().result()
    min((few / "Kiwi").iterdir()).unlink()
    cut_short(lambda: train(**UPDATE), monkeypatch)
    shutil.copytree(tmp_path / "session", tmp_path / "whole")
    whole = train(session=tmp_path / "whole").result()
    with opened(tmp_path) as session:
        named = session.attachments
    damage(tmp_path, named["donor"].key)
    shutil.copytree(tmp_path / "session", tmp_path / "without")
    damage(tmp_path, named[SPLIT_SIDES].key)
    with pytest.raises(DamagedData, match=named[SPLIT_SIDES].sha256):
        train().result()
    job = train(session=tmp_path / "without")
    assert job.result().model_digest == whole.model_digest
    assert [event for event in job.events() if isinstance(event, DonorFailed)]
    # Once extracted, nothing rests on either.
    shutil.copy2(tmp_path / "session" / named[SPLIT_SIDES].key, tmp_path / "without" / named[SPLIT_SIDES].key)
    again = train(session=tmp_path / "without")
    assert again.result().model_digest == whole.model_digest
    assert not [event for event in again.events() if isinstance(event, PhaseStarted)]


def test_verifying_reads_the_images_of_earlier_openings(train: Train, few: Path, tmp_path: Path) -> None:
    train().result()
    for label in ("Kiwi", "Lemon"):
        min((few / label).iterdir()).unlink()
        train(**UPDATE).result()
        with opened(tmp_path) as session:
            if label == "Kiwi":
                index, checkpoint = session.attachments[TRAINING_INDEX], session.checkpoints[-1]
    damage(tmp_path, index.key)
    with pytest.raises(DamagedData, match=index.sha256):
        ml.Classifier.from_checkpoint(checkpoint)
    with opened(tmp_path) as session:
        assert [problem.key for problem in session.verify(deep=True).problems] == [index.key]
        session.remove_checkpoints(lambda checkpoint: True)
        assert session.verify(deep=True).is_whole, "nothing that is left rests on it"


def test_changes_that_are_taken_back_give_the_model_of_before(train: Train, few: Path, tmp_path: Path) -> None:
    parameters = ml.ModelParameters(
        augmentation=["flip"], algorithm=ml.TransferLearning(classifier=ml.MultilayerPerceptron(layer_sizes=(4,)))
    )
    first = train(parameters=parameters).result()
    shutil.move(few / "Kiwi", tmp_path / "Kiwi")
    shutil.move(tmp_path / "held-out" / "Kiwi", tmp_path / "held-out-Kiwi")
    assert train(parameters=parameters, **UPDATE).result().classes == ("Banana", "Lemon")
    shutil.move(tmp_path / "Kiwi", few / "Kiwi")
    shutil.move(tmp_path / "held-out-Kiwi", tmp_path / "held-out" / "Kiwi")
    back = train(parameters=parameters, **UPDATE)
    assert back.result().model_digest == first.model_digest
    assert [event for event in back.events() if isinstance(event, PhaseFinished)]
