"""Prediction jobs as callers have them: what they write, and what the same call does the next time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

import mlsession as ml
from mlsession.errors import (
    Cancelled,
    IncompatibleParameters,
    InvalidParameter,
    ModifiedTrainingData,
    UnreadableImage,
    UsageError,
)
from mlsession.events import CheckpointCommitted, ItemSkipped, PhaseStarted, Progressed
from mlsession.store import open_store
from tests.inference.conftest import LABELS, tiny_classifier
from tests.servers.s3 import S3Server

Predict = Callable[..., ml.Job[ml.PredictionReport]]
SKIPPED = {"Banana/empty.png": "it holds no bytes", "Lemon/torn.jpg": "it is not a picture of a kind that is read"}


@pytest.fixture
def predict(classifier: ml.Classifier, photos: Path, tmp_path: Path) -> Predict:
    """A prediction of the photos that saves after every batch."""

    def begin(
        output: str = "r.csv", session: str | None = None, by: ml.Classifier = classifier, **options: object
    ) -> ml.Job[ml.PredictionReport]:
        own = {name: options.pop(name) for name in ("top_k", "on_bad_image") if name in options}
        url = None if session is None else tmp_path / session
        where = ml.SessionParameters(url, checkpoint_interval=1, report_interval=1, **options)  # type: ignore[arg-type]
        return by.make_prediction_job(photos, tmp_path / output, where, **own)  # type: ignore[arg-type]

    return begin


def phases(job: ml.Job[ml.PredictionReport]) -> list[str]:
    """The phases that a job has begun."""
    return [event.phase for event in job.events() if isinstance(event, PhaseStarted)]


def test_says_of_every_image_what_predict_says(
    classifier: ml.Classifier, predict: Predict, photos: Path, tmp_path: Path
) -> None:
    job = predict(top_k=3)
    report = job.result()
    csv = pd.read_csv(tmp_path / "r.csv")
    predict("r.parquet", session="r.csv.mlsession", top_k=3).result()
    parquet = pd.read_parquet(tmp_path / "r.parquet")
    names = [f"{name}{rank}" for rank in ("", "_2", "_3") for name in ("label", "confidence")]
    assert (
        list(csv.columns)
        == list(parquet.columns)
        == [*("path", "label", "confidence", "label_2", "confidence_2", "label_3", "confidence_3", "reason")]
    )
    found = [path.relative_to(photos).as_posix() for path in photos.rglob("*.*") if path.suffix != ".txt"]
    for frame in (csv, parquet):
        assert frame["path"].tolist() == sorted(found)
        for row in frame.to_dict("records"):
            if row["path"] in SKIPPED:
                assert row["reason"].startswith(SKIPPED[row["path"]])
                assert all(pd.isna(row[name]) for name in names)
            else:
                said = classifier.predict(photos / row["path"], top=3)
                flat = [value for pair in said.top for value in pair]
                assert [row[name] for name in names] == flat
                assert pd.isna(row["reason"])
    assert (report.num_images, report.num_predicted, report.num_skipped) == (38, 36, 2)
    assert dict(report.counts) == {label: int((csv["label"] == label).sum()) for label in LABELS}
    assert report.size_bytes == (tmp_path / "r.csv").stat().st_size
    assert Path(report.session) == tmp_path / "r.csv.mlsession"
    events = list(job.events())
    assert {event.item for event in events if isinstance(event, ItemSkipped)} == SKIPPED.keys()
    assert [event.item_count for event in events if isinstance(event, Progressed)] == [16, 32, 38]


def test_the_same_call_again_computes_nothing(predict: Predict, tmp_path: Path) -> None:
    report = predict().result()
    output = tmp_path / "r.csv"
    before, written = output.read_bytes(), output.stat().st_mtime_ns
    again = predict()
    assert (again.result(), phases(again)) == (report, [])
    assert output.stat().st_mtime_ns == written, "what is there already stays"
    for damage in (output.unlink, lambda: output.write_bytes(before[:-1]), lambda: output.write_bytes(before + b"x")):
        damage()
        predict().result()
        assert output.read_bytes() == before
    # Which images they were is found out again, as long as they are the same.
    folder = tmp_path / "r.csv.mlsession"
    with ml.TrainingSession(partial(open_store, str(folder)), ml.SessionParameters(folder)) as session:
        index = folder / session.identity.attachments["images_index"].key
    whole = index.read_bytes()
    index.write_bytes(whole[:-1])
    assert predict().result() == report
    assert index.read_bytes() == whole
    # Of each image more labels are kept than were asked for.
    wider = predict(top_k=5)
    assert (wider.result().num_images, phases(wider)) == (38, [])
    assert output.read_text().startswith("path,label,confidence,label_2,")
    with pytest.raises(IncompatibleParameters, match="top_k was 5"):
        predict(top_k=6).result()


def test_cancelled_it_goes_on_where_it_was(predict: Predict, tmp_path: Path) -> None:
    predict("whole.csv").result()
    job = predict()
    for event in job.events():
        if isinstance(event, CheckpointCommitted):
            job.cancel()
            break
    with pytest.raises(Cancelled):
        job.result()
    assert not (tmp_path / "r.csv").exists()
    resumed = predict()
    resumed.result()
    assert [event.iteration for event in resumed.events() if isinstance(event, PhaseStarted)] != [0]
    assert (tmp_path / "r.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_changed_images_are_named_and_taken_on(predict: Predict, photos: Path, tmp_path: Path) -> None:
    predict().result()
    kept, before = photos / "at the top.jpg", (tmp_path / "r.csv").read_text().splitlines()
    os.utime(kept)
    predict().result()  # Another time stamp is no change.
    shutil.copy(kept, photos / "Banana" / "new.jpg")
    (photos / "Lemon" / "torn.jpg").unlink()
    other = next((photos / "Lemon").glob("*.jpg"))
    content = bytearray(other.read_bytes())
    content[-3] ^= 1
    other.write_bytes(content)
    with pytest.raises(ModifiedTrainingData, match="the images changed since") as caught:
        predict().result()
    changed = caught.value
    assert (changed.added, changed.removed) == (("Banana/new.jpg",), ("Lemon/torn.jpg",))
    assert changed.replaced == (f"Lemon/{other.name}",)
    predict(on_modified_data="ignore").result()
    assert (tmp_path / "r.csv").read_text().splitlines() == before
    job = predict(on_modified_data="update")
    assert (job.result().num_images, job.result().num_skipped) == (38, 1)
    reused = [event.metrics.get("reused") for event in job.events() if isinstance(event, Progressed)]
    assert reused[-1] == 36.0, "the new image is a copy of an old one"
    after = (tmp_path / "r.csv").read_text().splitlines()
    assert {line.split(",")[0] for line in set(after) - set(before)} >= {"Banana/new.jpg"}
    for again in (predict(), predict(on_modified_data="update")):
        assert (again.result().num_images, phases(again)) == (38, [])


def test_a_bad_image_can_end_it(predict: Predict) -> None:
    job = predict(on_bad_image="fail")
    with pytest.raises(UnreadableImage, match=r"Banana/empty\.png: it holds no bytes"):
        job.result()
    assert predict().result().num_skipped == 2
    with pytest.raises(UnreadableImage, match=r"Banana/empty\.png: it holds no bytes"):
        predict(on_bad_image="fail").result()


def test_what_belongs_to_another_model_is_refused(predict: Predict, tmp_path: Path) -> None:
    before = predict().result(), (tmp_path / "r.csv").read_bytes()
    with pytest.raises(IncompatibleParameters, match=r"model\.digest was"):
        predict(by=tiny_classifier(1)).result()
    assert (predict().result(), (tmp_path / "r.csv").read_bytes()) == before
    with pytest.raises(UsageError, match="'image-prediction'"):
        ml.Classifier(
            ml.DataSource.labeled_directories(tmp_path / "photos"),
            session=ml.SessionParameters(tmp_path / "r.csv.mlsession"),
        )


@pytest.mark.parametrize(
    ("output", "options", "reason"),
    [
        ("r.txt", {}, r"must end in \.csv or \.parquet"),
        ("csv", {}, r"must end in \.csv or \.parquet"),
        ("a:b.csv", {}, "forbids in file names"),
        ("r.csv", {"top_k": 0}, "must be a whole number, 1 or more"),
        ("r.csv", {"on_bad_image": "ignore"}, "must be 'skip' or 'fail'"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    predict: Predict, tmp_path: Path, output: str, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        predict(output, **options)
    assert {path.name for path in tmp_path.iterdir()} == {"photos"}


def test_all_of_it_in_a_bucket(classifier: ml.Classifier, photos: Path, tmp_path: Path, s3_server: S3Server) -> None:
    for photo in [*(photos / "Lemon").iterdir()][:8]:
        photo.rename(photos / "Banana" / "deeper" / photo.name)
    classifier.make_prediction_job(photos / "Lemon", tmp_path / "r.csv").result()
    bucket, options = s3_server.new_bucket_url(), s3_server.storage_options
    with closing(open_store(f"{bucket}/in", options)) as store:
        for photo in (photos / "Lemon").iterdir():
            store.put(f"a/{photo.name}", photo.read_bytes())
    job = classifier.make_prediction_job(f"{bucket}/in", f"{bucket}/out/r.csv", storage_options=options)
    report = job.result()
    assert (report.session, report.num_images) == (f"{bucket}/out/r.csv.mlsession", 4)
    with closing(open_store(f"{bucket}/out", options)) as store:
        lines = store.get("r.csv").decode().replace("\na/", "\n")
    assert lines == (tmp_path / "r.csv").read_text()
