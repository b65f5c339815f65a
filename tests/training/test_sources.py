"""Trainings on every kind of source: the same photos give the same model, and sessions go on from the store alone."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import mlsession as ml
from mlsession.data.manifest import manifest_bytes
from mlsession.errors import ModifiedTrainingData, UnusableData

from .conftest import LABELS


def by_label(folder: Path, first: int, last: int) -> dict[str, list[Path]]:
    """Some photos of each label, in the order of their names."""
    return {label: sorted((folder / label).iterdir())[first:last] for label in LABELS}


def sources(train_photos: Path, folder: Path) -> dict[str, ml.DataSource]:
    """The same 12 photos by every rule."""
    chosen = by_label(train_photos, 0, 4)
    flat, folders = folder / "flat", folder / "folders"
    flat.mkdir()
    for label, paths in chosen.items():
        (folders / label).mkdir(parents=True)
        for path in paths:
            shutil.copy2(path, flat / f"{label}.{path.name}")
            shutil.copy2(path, folders / label)
    rows = [(str(path), label) for label, paths in chosen.items() for path in paths]
    (folder / "all.csv").write_bytes(manifest_bytes(rows))
    parquet.write_table(
        pa.table({"file": [row[0] for row in rows], "kind": [row[1] for row in rows]}), folder / "p.parquet"
    )
    with tarfile.open(folder / "all.tar", "w") as archive:
        archive.add(folders, "photos")
    return {
        "folders": ml.DataSource.labeled_directories(folders),
        "flat": ml.DataSource.labeled_files(flat),
        "list": ml.DataSource.files_by_label(chosen),
        "manifest": ml.DataSource.manifest(folder / "all.csv"),
        "parquet": ml.DataSource.manifest(folder / "p.parquet", path="file", label="kind"),
        "tar": ml.DataSource.labeled_directories(f"tar://photos::{folder / 'all.tar'}"),
    }


def session(folder: Path, cache: str, **options: int) -> ml.SessionParameters:
    return ml.SessionParameters(folder, cache=cache, checkpoint_interval=1, **options)  # type: ignore[arg-type]


def test_the_same_photos_give_the_same_model(train_photos: Path, tmp_path: Path, cache: str) -> None:
    digests = set()
    for name, source in sources(train_photos, tmp_path).items():
        where = session(tmp_path / "sessions" / name, cache, iterations=3)
        made = ml.Classifier.make_training_session(source, None, where)
        assert made.status is ml.Status.NEW
        # From the store alone, before a photo was read; then by the same call as ever.
        resumed = ml.Classifier.resume(ml.Classifier.restore_training_session(where)).result()
        assert resumed.training_metrics.count == 12
        again = ml.Classifier.train(source, None, where).result()
        assert again.model_digest == resumed.model_digest
        digests.add(resumed.model_digest)
        made.close()
    assert len(digests) == 1


@pytest.mark.parametrize("kind", ["list", "manifest"])
def test_a_session_on_named_files_has_validation_and_test_images_of_their_own(
    kind: str, train_photos: Path, tmp_path: Path, cache: str
) -> None:
    train = sources(train_photos, tmp_path)[kind]
    held_out = ml.DataSource.files_by_label(by_label(train_photos, 4, 6))
    test, _ = ml.DataSource.labeled_directories(train_photos).stratified_split([0.2, 0.8])
    parameters = ml.ModelParameters(validation=ml.Validation.data(held_out))
    where = session(tmp_path / "session", cache, iterations=2)
    first = ml.Classifier.train(train, parameters, where, testing=test).result()
    assert (first.validation_metrics.count, first.testing_metrics.count) == (6, 10)
    restored = ml.Classifier.restore_training_session(session(tmp_path / "session", cache, iterations=4))
    second = ml.Classifier.resume(restored).result()
    assert (second.validation_metrics.count, second.testing_metrics.count) == (6, 10)
    assert second.model_digest != first.model_digest
    fresh = session(tmp_path / "other", cache, iterations=4)
    assert ml.Classifier.train(train, parameters, fresh, testing=test).result().model_digest == second.model_digest


def test_changed_lists_are_noticed(train_photos: Path, tmp_path: Path, cache: str) -> None:
    where = session(tmp_path / "session", cache, iterations=1)
    files = by_label(train_photos, 0, 3)
    ml.Classifier.train(ml.DataSource.files_by_label(files), None, where).result()
    moved = {**files, "Kiwi": files["Kiwi"][1:], "Lemon": [*files["Lemon"], files["Kiwi"][0]]}
    with pytest.raises(ModifiedTrainingData) as caught:
        ml.Classifier.train(ml.DataSource.files_by_label(moved), None, where).result()
    assert caught.value.relabeled == (f"Kiwi/{files['Kiwi'][0].name}",)
    fewer = {**files, "Kiwi": files["Kiwi"][1:]}
    with pytest.raises(ModifiedTrainingData) as caught:
        ml.Classifier.train(ml.DataSource.files_by_label(fewer), None, where).result()
    assert caught.value.removed == (f"Kiwi/{files['Kiwi'][0].name}",)


def test_a_test_set_with_an_unknown_label_is_refused(train_photos: Path, tmp_path: Path, cache: str) -> None:
    train = ml.DataSource.files_by_label(by_label(train_photos, 0, 2))
    test = ml.DataSource.files_by_label({"Kivi": by_label(train_photos, 2, 3)["Kiwi"]})
    with pytest.raises(UnusableData, match=r"DataSource.files_by_label\(.*'Kivi' is not among those of the training"):
        ml.Classifier.train(train, None, session(tmp_path / "session", cache), testing=test).result()


def test_evaluating_on_a_list(train_photos: Path, tmp_path: Path, cache: str) -> None:
    train, test = ml.DataSource.labeled_directories(train_photos).stratified_split([0.3, 0.3], by="content")
    classifier = ml.Classifier.train(train, None, session(tmp_path / "session", cache, iterations=2)).result()
    assert classifier.evaluate(test).count == 15
