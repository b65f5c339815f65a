"""Images to predict whose files are known need not be read; what is said of them is the same, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.cache.upkeep import clear
from mlsession.errors import ModifiedTrainingData
from mlsession.store import LocalStore
from tests.reads import Reads, settle
from tests.servers.ftp import FtpServer

NUMBER = 38


@pytest.fixture
def reads(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Reads:
    settle(photos, monkeypatch)
    return Reads.counted(monkeypatch)


def predicted(classifier: ml.Classifier, photos: Path | str, output: Path, **options: object) -> ml.PredictionReport:
    where = ml.SessionParameters(cache=str(output.parent / "cache"), **options)  # type: ignore[arg-type]
    return classifier.make_prediction_job(photos, output, where).result()


def test_another_table_of_the_same_images_reads_none_that_can_be_known(
    classifier: ml.Classifier, photos: Path, tmp_path: Path, reads: Reads
) -> None:
    predicted(classifier, photos, tmp_path / "first.csv")
    assert reads.taken() == NUMBER
    predicted(classifier, photos, tmp_path / "second.csv")
    # Two of them cannot be read: of their batches all are.
    assert 2 <= reads.taken() <= 32 < NUMBER
    clear(LocalStore(tmp_path / "cache"))
    predicted(classifier, photos, tmp_path / "third.csv")
    assert reads.taken() == NUMBER
    tables = {(tmp_path / f"{name}.csv").read_bytes() for name in ("first", "second", "third")}
    assert len(tables) == 1


def test_to_verify_the_content_every_image_is_read(
    classifier: ml.Classifier, photos: Path, tmp_path: Path, reads: Reads
) -> None:
    predicted(classifier, photos, tmp_path / "first.csv")
    reads.taken()
    predicted(classifier, photos, tmp_path / "second.csv", verify_content=True)
    assert reads.taken() == NUMBER
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()


def test_what_no_listing_shows_is_found_by_reading_everything(
    classifier: ml.Classifier, photos: Path, tmp_path: Path
) -> None:
    # A server that tells of a file nothing but its size and a time.
    output, path = tmp_path / "r.csv", photos / "at the top.jpg"
    with FtpServer(photos) as server:

        def again(**options: object) -> ml.PredictionReport:
            return predicted(classifier, server.url, output, **options)

        first = again()
        before = output.read_text().splitlines()
        assert again(verify_content=True) == first
        times = path.stat()
        content = path.read_bytes()
        other = min((photos / "Lemon").iterdir()).read_bytes()
        assert len(other) != len(content)
        path.write_bytes(other[: len(content)].ljust(len(content), b"\0"))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert again() == first, "the listing says that nothing has changed"
        with pytest.raises(ModifiedTrainingData, match="the images changed") as caught:
            again(verify_content=True)
        assert caught.value.replaced == (path.name,)
        # Taken on, it is predicted anew: that line alone is another one.
        again(verify_content=True, on_modified_data="update")
        changed = set(output.read_text().splitlines()) - set(before)
        assert [line.partition(",")[0] for line in changed] == [path.name]
        after = output.read_bytes()
        again(verify_content=True)
        again()
        assert output.read_bytes() == after
