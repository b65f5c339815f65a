"""A review of a real training, and its corrections taken on."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

import mlsession as ml
from mlsession.errors import InvalidParameter, ModifiedTrainingData, UnusableData, UsageError
from mlsession.events import Event, LabelsCorrected, PhaseFinished
from mlsession.reviewing.findings import Finding, Reason
from mlsession.scanning.finding import Kind
from mlsession.session.phase import Phase
from mlsession.store import open_store
from mlsession.training.findings.summary import SessionSummary
from mlsession.training.images.corrected import recorded_corrections
from mlsession.training.images.indexes import read_index
from mlsession.training.images.inputs import TRAINING_INDEX
from tests.servers.s3 import S3Server
from tests.servers.wayward import wayward

from .conftest import UNTUNED, Start


def swap(photos: Path, label: str, number: int, other: str) -> str:
    """Puts a photo among those of another label; its new key."""
    photo = sorted((photos / label).iterdir())[number]
    photo.rename(photos / other / f"was-{label}.jpg")
    return f"{other}/was-{label}.jpg"


def again(photo: Path, target: Path, scale: float) -> str:
    """The photo at another size and quality; its key."""
    with Image.open(photo) as image:
        small = image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)))
    small.save(target, quality=80)
    return f"{target.parent.name}/{target.name}"


def digests(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.jpg")}


def by_reason(report: ml.ReviewReport, reason: Reason) -> dict[str, Finding]:
    return {finding.path: finding for finding in report.findings if finding.reason is reason}


def edited(table: bytes, edits: dict[tuple[str, str], dict[str, str]]) -> str:
    """A table with some cells changed, by path and reason."""
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    written = io.StringIO()
    writer = csv.DictWriter(written, rows[0].keys())
    writer.writeheader()
    writer.writerows({**row, **edits.get((row["path"], row["reason"]), {})} for row in rows)
    return written.getvalue()


def events_of(job: ml.Job[ml.Classifier]) -> list[Event]:
    job.result()
    return list(job.events())


def test_review_correct_and_train_on(photos: Path, test_photos: Path, start: Start, tmp_path: Path, cache: str) -> None:
    kiwi, lemon = swap(photos, "Kiwi", 0, "Banana"), swap(photos, "Lemon", 1, "Kiwi")
    first = sorted((photos / "Banana").iterdir())[3]
    copy = again(first, first.with_name("x-again.jpg"), 0.7)
    shutil.copy2(first, first.with_name("x-same.jpg"))
    tested = sorted((test_photos / "Lemon").iterdir())[0]
    leaked = again(tested, photos / "Lemon" / "leaked.jpg", 0.8)
    before = digests(photos)
    start(photos, testing=test_photos).result()
    session = tmp_path / "session"

    with ml.Classifier.restore_training_session(ml.SessionParameters(session)) as opened:
        findings = SessionSummary.of(opened).findings
    (same_files,) = (finding for finding in findings if finding.kind is Kind.EXACT_DUPLICATES)
    assert same_files.files == (f"Banana/{first.name}", "Banana/x-same.jpg")

    report = ml.review(session)
    assert report.images == {"training": 54, "validation": 0, "test": 18}
    assert report.accuracy is not None
    assert report.accuracy > 0.9
    assert not report.unjudged
    errors = by_reason(report, Reason.LABEL_ERROR)
    assert {path: errors[path].suggested for path in (kiwi, lemon)} == {kiwi: "Kiwi", lemon: "Lemon"}
    assert len(errors) <= 3
    assert by_reason(report, Reason.NEAR_DUPLICATE)[copy].other == f"Banana/{first.name}"
    same = by_reason(report, Reason.DUPLICATE)["Banana/x-same.jpg"]
    assert (same.other, same.confidence) == (f"Banana/{first.name}", 1)
    leak = by_reason(report, Reason.LEAKAGE)[leaked]
    assert (leak.other, leak.other_source) == (f"Lemon/{tested.name}", "test")
    with ml.Classifier.restore_training_session(ml.SessionParameters(session)) as opened:
        assert ml.review(opened) == report
    assert not by_reason(ml.review(session, None), Reason.LEAKAGE)

    # As it was written, the table changes nothing.
    table = tmp_path / "fixes.csv"
    report.write(table)
    report.write(table)
    source = ml.DataSource.labeled_directories(photos)
    assert source.corrected(table).index().digest == source.index().digest
    table.write_text(
        edited(
            table.read_bytes(),
            {
                (kiwi, "label-error"): {"action": "relabel"},
                (lemon, "label-error"): {"label": "Lemon"},
                (leaked, "leakage"): {"action": "remove"},
                (copy, "near-duplicate"): {"action": "remove"},
            },
        )
    )
    with pytest.raises(InvalidParameter, match="somebody may have edited it"):
        report.write(table)

    test = ml.DataSource.labeled_directories(test_photos)
    where = ml.SessionParameters(session, cache=cache)
    taken_on = ml.SessionParameters(session, cache=cache, on_modified_data="update")
    with pytest.raises(ModifiedTrainingData) as changed:
        ml.Classifier.train(source.corrected(table), UNTUNED, where, testing=test).result()
    assert changed.value.labels == {kiwi: ("Banana", "Kiwi"), lemon: ("Kiwi", "Lemon")}
    assert changed.value.removed == tuple(sorted((copy, leaked)))
    events = events_of(ml.Classifier.train(source.corrected(table), UNTUNED, taken_on, testing=test))
    (corrected,) = (event for event in events if isinstance(event, LabelsCorrected))
    assert (corrected.table, corrected.relabeled, corrected.removed, corrected.left) == (str(table), 2, 2, {})
    (extracted,) = (event for event in events if isinstance(event, PhaseFinished) and event.phase == Phase.EXTRACTING)
    assert extracted.metrics["reused"] == 52
    assert digests(photos) == before

    # The session knows its corrections; whoever comes without them is told.
    table.unlink()
    verifying = ml.SessionParameters(session, cache=cache, verify_content=True)
    with ml.Classifier.restore_training_session(verifying) as opened:
        assert any(isinstance(event, LabelsCorrected) for event in events_of(ml.Classifier.resume(opened)))
        index = read_index(opened, TRAINING_INDEX).index
    assert len(index) == 52
    with pytest.raises(ModifiedTrainingData, match=r"give the corrections in .*fixes.csv again \(--labels\)"):
        ml.Classifier.train(source, UNTUNED, where, testing=test).result()

    # The next table repeats them, so that it alone says all.
    second = ml.review(session)
    assert not by_reason(second, Reason.LABEL_ERROR).keys() & {kiwi, lemon}
    assert by_reason(second, Reason.CORRECTED).keys() == {kiwi, lemon, leaked, copy}
    second.write(table)
    assert source.corrected(table).index().digest == index.digest

    # Where changes are ignored other corrections are not applied, which is said, and those of before are kept.
    other, at = tmp_path / "other.csv", index.keys.index(kiwi)
    other.write_text(f"path,label\n{kiwi},Lemon\n")
    ignoring = ml.SessionParameters(session, cache=cache, on_modified_data="ignore")
    for data, told in ((source.corrected(other), True), (source, False)):
        events = events_of(ml.Classifier.train(data, UNTUNED, ignoring, testing=test))
        said = [event for event in events if isinstance(event, LabelsCorrected)]
        assert [(event.relabeled, event.removed, list(event.left)) for event in said] == [(0, 0, [kiwi])] * told
        assert all("the images stay as they were recorded" in event.left[kiwi] for event in said)
        with ml.Classifier.restore_training_session(ignoring) as opened:
            assert read_index(opened, TRAINING_INDEX).index.labels[at] == index.labels[at]
            kept = recorded_corrections(opened, TRAINING_INDEX)
            assert kept is not None
            assert {row.path for row in kept.rows} == {kiwi, lemon, leaked, copy}

    # Without them the images are again as their folders say.
    ml.Classifier.train(source, UNTUNED, taken_on, testing=test).result()
    assert not by_reason(ml.review(session, None), Reason.CORRECTED)


def test_a_session_that_was_made_with_corrections(train_photos: Path, tmp_path: Path, cache: str) -> None:
    source, table = ml.DataSource.labeled_directories(train_photos), tmp_path / "fixes.csv"
    first = source.index().keys[0]
    table.write_text(f"path,label\n{first},Lemon\n")
    where = ml.SessionParameters(tmp_path / "session", cache=cache)
    with ml.Classifier.make_training_session(source.corrected(table), None, where) as made:
        with pytest.raises(UsageError, match="has not extracted all its images yet"):
            ml.review(made)
        table.unlink()
        ml.Classifier.resume(made).result()
        made.refresh()
        index = read_index(made, TRAINING_INDEX).index
    assert index.classes[index.labels[index.rows_of([first])[0]]] == "Lemon"


def test_test_images_of_the_callers_own(train_photos: Path, test_photos: Path, start: Start, tmp_path: Path) -> None:
    start().result()
    other = tmp_path / "others"
    (other / "never seen").mkdir(parents=True)
    first = sorted((train_photos / "Kiwi").iterdir())[0]
    shutil.copy2(first, other / "never seen" / "copy.jpg")
    (other / "never seen" / "torn.jpg").write_bytes(b"no picture")
    report = ml.review(tmp_path / "session", ml.DataSource.labeled_directories(other))
    (leak,) = by_reason(report, Reason.LEAKAGE).values()
    assert (leak.path, leak.other, leak.confidence) == (f"Kiwi/{first.name}", "never seen/copy.jpg", 1)
    assert [path for path, _ in report.skipped] == ["never seen/torn.jpg"]
    for similarity in (0, 1.1):
        with pytest.raises(InvalidParameter, match="similarity"):
            ml.review(tmp_path / "session", similarity=similarity)
    with pytest.raises(UnusableData):
        ml.review(tmp_path / "session", ml.DataSource.labeled_directories(tmp_path / "nothing"))
    with pytest.raises(InvalidParameter, match=r"must end in \.csv"):
        report.write(tmp_path / "table.txt")


def test_far_test_images_that_hang_are_asked_for_again(
    start: Start, test_photos: Path, tmp_path: Path, s3_server: S3Server
) -> None:
    start().result()
    url, told = s3_server.new_bucket_url(), list[str]()
    photos = sorted((test_photos / "Lemon").iterdir())[:2]
    with closing(open_store(url, s3_server.storage_options)) as store:
        for photo in photos:
            store.put(f"Lemon/{photo.name}", photo.read_bytes())
    where = ml.SessionParameters(tmp_path / "session", read_timeout=1.0)
    with wayward(s3_server.endpoint_url) as way, ml.Classifier.restore_training_session(where) as session:
        way.held[f"/{photos[1].name}"] = 1
        options = {**s3_server.storage_options, "endpoint_url": way.endpoint_url}
        report = ml.review(session, ml.DataSource.labeled_directories(url, options), tell=told.append)
    assert (report.images["test"], report.skipped) == (2, ())
    assert any(f"get Lemon/{photos[1].name} failed" in line and "no answer within 1 s" in line for line in told)
