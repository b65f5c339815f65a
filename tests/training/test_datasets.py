"""Sessions on datasets in memory: the same as on files, given again or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mlsession as ml
from mlsession.errors import ModifiedTrainingData, UnusableData
from mlsession.session.watching.status import Status
from tests.training.conftest import LABELS

Rows = list[tuple[Any, str]]


@pytest.fixture
def rows(train_photos: Path) -> Rows:
    """5 photos of each label as files."""
    return [(path, label) for label in LABELS for path in sorted((train_photos / label).iterdir())[:5]]


def where(folder: Path, cache: str, **options: Any) -> ml.SessionParameters:
    return ml.SessionParameters(folder, cache=cache, checkpoint_interval=1, iterations=2, **options)


def test_files_and_their_bytes_and_pixels_train_alike(rows: Rows, tmp_path: Path, cache: str) -> None:
    files = ml.DataSource.files_by_label({label: [path for path, name in rows if name == label] for label in LABELS})
    expected = ml.Classifier.train(files, None, where(tmp_path / "files", cache)).result()
    kinds: dict[str, Rows] = {
        "paths": rows,
        "bytes": [(path.read_bytes(), label) for path, label in rows],
    }
    for name, each in kinds.items():
        made = ml.Classifier.train(ml.DataSource.dataset(each), None, where(tmp_path / name, cache)).result()
        assert made.model_digest == expected.model_digest
    arrays: Rows = [(np.asarray(Image.open(path).convert("RGB")), label) for path, label in rows]
    data = ml.DataSource.dataset(arrays)
    made = ml.Classifier.train(data, None, where(tmp_path / "pixels", cache)).result()
    assert made.evaluate(data).accuracy == expected.evaluate(files).accuracy
    report = made.make_prediction_job(data, tmp_path / "predicted.csv").result()
    assert report.num_predicted == 15


def test_what_goes_on_without_the_dataset_and_what_does_not(rows: Rows, tmp_path: Path, cache: str) -> None:
    place, data = where(tmp_path / "session", cache), ml.DataSource.dataset(rows)
    ml.Classifier.make_training_session(data, None, place).close()
    with pytest.raises(UnusableData, match=r"the dataset of 15 images .*: call Classifier.train again"):
        ml.Classifier.resume(ml.Classifier.restore_training_session(place)).result()
    # An attempt that failed so leaves the session as it was.
    first = ml.Classifier.train(data, None, place).result()
    restored = ml.Classifier.restore_training_session(place)
    assert restored.status is Status.FINISHED
    assert ml.Classifier.resume(restored).result().model_digest == first.model_digest
    more = ml.SessionParameters(tmp_path / "session", cache=cache, checkpoint_interval=1, iterations=4)
    second = ml.Classifier.resume(ml.Classifier.restore_training_session(more)).result()
    assert second.model_digest != first.model_digest
    assert ml.Classifier.attach(tmp_path / "session").result().model_digest == second.model_digest


def test_changed_rows_are_noticed_and_taken_on(rows: Rows, tmp_path: Path, cache: str) -> None:
    place = tmp_path / "session"
    ml.Classifier.train(ml.DataSource.dataset(rows), None, where(place, cache)).result()
    relabeled = [*rows[:-1], (rows[-1][0], LABELS[0])]
    with pytest.raises(ModifiedTrainingData) as caught:
        ml.Classifier.train(ml.DataSource.dataset(relabeled), None, where(place, cache)).result()
    assert caught.value.relabeled == ("000000014",)
    with pytest.raises(ModifiedTrainingData) as caught:
        ml.Classifier.train(ml.DataSource.dataset(rows[:-1]), None, where(place, cache)).result()
    assert caught.value.removed == ("000000014",)
    swapped = [rows[1], rows[0], *rows[2:]]
    ml.Classifier.train(ml.DataSource.dataset(swapped), None, where(place, cache)).result()
    with pytest.raises(ModifiedTrainingData) as caught:
        ml.Classifier.train(ml.DataSource.dataset(swapped), None, where(place, cache, verify_content=True)).result()
    assert caught.value.replaced == ("000000000", "000000001")
    update = where(place, cache, on_modified_data="update")
    taken = ml.Classifier.train(ml.DataSource.dataset(rows[:-2]), None, update).result()
    assert taken.training_metrics.count == 13


def test_a_test_set_in_memory(rows: Rows, tmp_path: Path, cache: str) -> None:
    train, test = ml.DataSource.dataset(rows).stratified_split([0.8, 0.2])
    made = ml.Classifier.train(train, None, where(tmp_path / "session", cache), testing=test).result()
    assert (made.training_metrics.count, made.testing_metrics.count) == (12, 3)
