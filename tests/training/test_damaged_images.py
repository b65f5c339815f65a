"""Damaged files among good photos: all named, none trained on, and everything else as if they were not there."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import mlsession as ml
from mlsession.errors import IncompatibleParameters
from mlsession.events import ItemSkipped
from tests.images.pictures import encoded, heic, icon, noisy, png_claiming
from tests.images.test_early_end import closed, lost
from tests.photos import PHOTOS, copy_photos
from tests.training.conftest import LABELS, Start

Features = dict[bytes, npt.NDArray[np.float16]]


def damages() -> dict[str, bytes]:
    """30 files, by name, of which each is damaged in its own way."""
    photo = min(PHOTOS.rglob("*.jpg")).read_bytes()
    png, drawn = encoded(noisy(), "PNG"), noisy()
    return {
        "empty.jpg": b"",
        "two-bytes.jpg": b"\xff\xd8",
        "header-only.jpg": photo[:300],
        "cut.jpg": photo[: len(photo) // 2],
        "cut-by-little.jpg": photo[:-400],
        "cut-and-closed.jpg": closed(photo, 0.6),
        "cut-progressive.jpg": closed(encoded(drawn, "JPEG", progressive=True), 0.4),
        "lost-tail.jpg": lost(photo, 0.7),
        "zeros.jpg": bytes(5000),
        "random.jpg": np.random.Generator(np.random.Philox(key=4)).bytes(4096),
        "page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "answer.jpg": b'{"error": "not found"}',
        "document.jpg": b"%PDF-1.7\n1 0 obj\n",
        "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "cut.png": png[: len(png) // 2],
        "bad-sum.png": png[: len(png) // 2] + b"\xaa" + png[len(png) // 2 + 1 :],
        "lost-tail.png": lost(png, 0.5),
        "line-ends.png": png.replace(b"\r\n", b"\n"),
        "bomb.png": png_claiming(15_000, 15_000),
        "cut.gif": encoded(drawn, "GIF")[:5000],
        "no-width.gif": b"GIF89a" + struct.pack("<HH", 0, 9) + b"\0\0\0,\0\0\0\0\0\0\t\0\0\2\0;",
        "cut.bmp": encoded(drawn, "BMP")[:9000],
        "cut.webp": encoded(drawn, "WEBP")[:3000],
        "lost-tail.webp": lost(encoded(drawn, "WEBP"), 0.6),
        "lost-tail.avif": lost(encoded(drawn, "AVIF"), 0.6),
        "cut.heic": heic(drawn)[:3000],
        "cut.tif": encoded(drawn, "TIFF", compression="tiff_lzw")[:9000],
        "negative.ppm": b"P6 -5 5 255\n" + bytes(75),
        "cut.jp2": encoded(drawn, "JPEG2000")[:9000],
        "bomb.ico": icon(png_claiming(15_000, 15_000)),
    }


def mixed_in(folder: Path) -> set[str]:
    """Puts the damaged files among the photos of all labels; their keys."""
    keys = set()
    for number, (name, data) in enumerate(damages().items()):
        key = f"{LABELS[number % 3]}/{'0az'[number % 3]}-{name}"  # Before, among and after the photos.
        (folder / key).write_bytes(data)
        keys.add(key)
    return keys


def features_of(session: Path) -> Features:
    """By content what was extracted of the images that can be read."""
    found: Features = {}
    with ml.Classifier.restore_training_session(ml.SessionParameters(session)) as stored:
        for block in stored.past.rows("extracting"):
            for digest, row, readable in zip(block["digest"], block["features"], block["readable"], strict=True):
                if readable:
                    found[digest.tobytes()] = row
    return found


def skipped_by(job: ml.Job[ml.Classifier]) -> Mapping[str, str]:
    job.exception()
    return {event.item: event.reason for event in job.events() if isinstance(event, ItemSkipped)}


def test_damaged_files_change_nothing_but_what_is_named(start: Start, tmp_path: Path, test_photos: Path) -> None:
    photos, parameters = tmp_path / "photos", ml.ModelParameters(validation=ml.Validation.split(0.25))
    copy_photos(photos, "train", 8, LABELS)
    clean = start(data=photos, session=tmp_path / "clean", parameters=parameters, testing=test_photos).result()
    bad = mixed_in(photos)
    assert len(bad) == 30
    # Without the cache, so that each photo is decoded and extracted anew, beside other neighbours.
    job = start(
        data=photos, session=tmp_path / "mixed", parameters=parameters, testing=test_photos, cache=str(tmp_path / "own")
    )
    skipped = skipped_by(job)
    assert skipped.keys() == bad
    assert all(reason and "\n" not in reason for reason in skipped.values())
    mixed = job.result()
    before, after = features_of(tmp_path / "clean"), features_of(tmp_path / "mixed")
    assert before.keys() == after.keys()
    assert len(before) == 24
    assert max(float(np.abs(before[key].astype(float) - after[key].astype(float)).max()) for key in before) <= 1e-4
    assert mixed.training_metrics.to_json() == clean.training_metrics.to_json()
    assert mixed.validation_metrics is not None
    assert clean.validation_metrics is not None
    assert mixed.validation_metrics.to_json() == clean.validation_metrics.to_json()
    assert mixed.model_digest == clean.model_digest


def test_a_part_of_a_photo_counts_by_choice_alone(start: Start, tmp_path: Path) -> None:
    photos = copy_photos(tmp_path / "few", "train", 5, LABELS)
    sample = min((photos / "Kiwi").iterdir()).read_bytes()
    (photos / "Kiwi" / "cut.jpg").write_bytes(sample[: len(sample) // 2])
    (photos / "Kiwi" / "empty.jpg").write_bytes(b"")
    allowing = ml.ModelParameters(allow_truncated=True)
    job = start(data=photos, session=tmp_path / "allowing", parameters=allowing)
    assert skipped_by(job).keys() == {"Kiwi/empty.jpg"}
    assert len(features_of(tmp_path / "allowing")) == 16
    again = start(data=photos, session=tmp_path / "allowing", parameters=allowing)
    recorded = again.result().model_parameters
    assert recorded is not None
    assert recorded.allow_truncated
    # The same cache, and the features of the cut one are in it.
    assert skipped_by(start(data=photos)).keys() == {"Kiwi/cut.jpg", "Kiwi/empty.jpg"}
    with pytest.raises(IncompatibleParameters, match="allow_truncated"):
        start(data=photos, session=tmp_path / "allowing").result()
    source, where = ml.DataSource.labeled_directories(photos), ml.SessionParameters(tmp_path / "new")
    with (
        ml.Classifier.make_training_session(source, ml.ModelParameters(), where) as session,
        ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "allowing")) as donor,
        pytest.raises(IncompatibleParameters, match="truncated"),
    ):
        session.reuse_extracted_features(donor)
