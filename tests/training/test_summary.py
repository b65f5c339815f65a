from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.errors import UsageError
from mlsession.session.watching.status import Status
from mlsession.testing.walk import Walk
from mlsession.training.classifier import Classifier
from mlsession.training.findings.summary import ImageCounts, SessionSummary, SkippedImage
from tests.training.conftest import Start


def summary_of(folder: Path) -> SessionSummary:
    where = ml.SessionParameters(folder, stale_after=1e9)  # However slow this machine is, a writer counts as alive.
    with Classifier.restore_training_session(where) as session:
        return SessionSummary.of(session)


def cut_after(folder: Path, number: int) -> None:
    """Takes a session back to the moment when it had written record `number`: its writer is this living process."""
    for path in (folder / "log").iterdir():
        if int(path.stem) > number:
            path.unlink()


def test_a_finished_session(start: Start, tmp_path: Path, test_photos: Path) -> None:
    classifier = start(testing=test_photos).result()
    found = summary_of(tmp_path / "session")
    assert (found.status, found.phase, found.reason) == (Status.FINISHED, "evaluating", "")
    assert found.counts == ImageCounts(train=46, validation=5, test=18, skipped=0)
    assert found.model_digest == classifier.model_digest
    assert list(found.metrics) == ["training", "validation", "test"]
    assert found.metrics["test"].accuracy == classifier.testing_metrics.accuracy
    assert found.limit == 25
    assert len(found.history["loss"]) == len(found.history["validation_accuracy"]) <= 25
    assert found.checkpoints[-1].phase == "evaluating"
    assert (found.skipped, found.damaged, found.heartbeat_age) == ((), (), None)
    assert json.loads(json.dumps(found.to_json()))["metrics"]["training"]["count"] == 46


def test_before_anything_was_done(train_photos: Path, tmp_path: Path) -> None:
    data, where = ml.DataSource.labeled_directories(train_photos), tmp_path / "session"
    for validation, counted in ((ml.Validation.automatic(), None), (ml.Validation.none(), 0)):
        folder = where / str(counted)
        parameters = ml.ModelParameters(validation=validation)
        Classifier.make_training_session(data, parameters, ml.SessionParameters(folder)).close()
        found = summary_of(folder)
        assert (found.status, found.phase, found.iteration) == (Status.NEW, "initialized", 0)
        assert found.counts == ImageCounts(train=51, validation=counted, test=0, skipped=0)
        assert found.data == str(train_photos)
        assert (found.model_digest, found.metrics, found.history, found.checkpoints) == (None, {}, {}, ())
        assert found.to_json()["metrics"] == {"training": None, "validation": None, "test": None}


def test_before_training_has_ended(start: Start, tmp_path: Path, test_photos: Path) -> None:
    start(testing=test_photos).result()
    folder = tmp_path / "session"
    training = [each for each in summary_of(folder).checkpoints if each.phase == "training"]
    cut_after(folder, training[2].number)
    found = summary_of(folder)
    assert (found.status, found.phase, found.iteration) == (Status.RUNNING, "training", 3)
    assert found.heartbeat_age is not None
    assert found.counts == ImageCounts(train=46, validation=5, test=18, skipped=0)
    assert (found.model_digest, found.metrics) == (None, {})
    assert len(found.history["loss"]) == 3


def test_what_cannot_be_read_is_named_with_its_source(start: Start, photos: Path, tmp_path: Path) -> None:
    held_out = tmp_path / "held-out"
    test = tmp_path / "test"
    for folder in (held_out, test):
        shutil.copytree(photos / "Kiwi", folder / "Kiwi")
    for folder in (photos, held_out, test):
        (folder / "Kiwi" / "torn.jpg").write_bytes(b"not a picture")
    validation = ml.Validation.data(ml.DataSource.labeled_directories(held_out))
    start(data=photos, testing=test, parameters=ml.ModelParameters(validation=validation)).result()
    found = summary_of(tmp_path / "session")
    assert found.counts == ImageCounts(train=51, validation=17, test=17, skipped=3)
    reason = found.skipped[0].reason
    assert found.skipped == tuple(
        SkippedImage(path="Kiwi/torn.jpg", source=source, reason=reason)
        for source in ("training", "validation", "test")
    )


def test_metrics_of_another_test_set_do_not_count(start: Start, tmp_path: Path, test_photos: Path) -> None:
    start().result()
    folder = tmp_path / "session"
    before = summary_of(folder)
    assert list(before.metrics) == ["training", "validation"]
    records = len(list((folder / "log").iterdir()))
    start(testing=test_photos).result()
    cut_after(folder, records)
    found = summary_of(folder)
    assert found.metrics == {}
    assert found.counts.test == 18
    assert found.model_digest == before.model_digest


def test_damage_is_told_and_hides_no_more_than_it_must(start: Start, tmp_path: Path) -> None:
    digest = start().result().model_digest
    with Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session")) as session:
        key = session.timeline.newest["evaluating"].state.key
    (tmp_path / "session" / key).write_bytes(b"damaged")
    found = summary_of(tmp_path / "session")
    assert len(found.damaged) == 1
    assert key in found.damaged[0]
    assert found.metrics == {}
    assert found.model_digest == digest


def test_a_session_of_another_task_is_refused(tmp_path: Path) -> None:
    ml.run_task(Walk(), ml.SessionParameters(tmp_path / "walk"), {"seed": 0}).result()
    with pytest.raises(UsageError, match="'walk'"):
        summary_of(tmp_path / "walk")
