"""Images whose files are known need not be read again; what comes of it is the same to the bit as if they had been."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import mlsession as ml
from mlsession.cache.upkeep import clear, look
from mlsession.extractors.automatic import AutomaticExtractor
from mlsession.extractors.embedded.extractor import Lite1
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Phase
from mlsession.session.session import TrainingSession
from mlsession.store import LocalStore
from tests.photos import PHOTOS, copy_photos
from tests.reads import Reads, settle

from .counting import Counting

LABELS, EACH = ("Banana", "Kiwi"), 20
NUMBER = 2 * EACH + 2


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 photos, a copy of one of them, and one that cannot be read; all of them were made an hour ago, as it were."""
    made = copy_photos(tmp_path / "photos", "train", EACH, LABELS)
    first = min((made / "Kiwi").iterdir())
    shutil.copyfile(first, made / "Kiwi" / f"copy{first.suffix}")
    (made / "Kiwi" / "bad.jpg").write_bytes(b"no picture")
    settle(made, monkeypatch)
    return made


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads.counted(monkeypatch)


def trained(
    photos: Path,
    session: Path,
    cache: Path | None,
    extractor: Counting,
    testing: Path | None = None,
    **options: object,
) -> ml.Classifier:
    parameters = ml.ModelParameters(
        algorithm=ml.TransferLearning(feature_extractor=extractor), augmentation={"flip"}, max_iterations=3
    )
    at = SessionParameters(session, cache=None if cache is None else str(cache), **options)  # type: ignore[arg-type]
    tests = None if testing is None else ml.DataSource.labeled_directories(testing)
    return ml.Classifier.train(ml.DataSource.labeled_directories(photos), parameters, at, testing=tests).result()


def left(session: Path) -> dict[str, object]:
    """All that a session has kept of its phases, bit for bit."""
    with TrainingSession(lambda: LocalStore(session), SessionParameters(session)) as opened:
        kept: dict[str, object] = {}
        for phase in (Phase.EXTRACTING, Phase.TRAINING, Phase.EVALUATING):
            state = opened.past.state(phase)
            kept[phase] = {name: array.tobytes() for name, array in state.arrays.items()}, state.data
            blocks = list(opened.past.rows(phase))
            for name in blocks[0] if blocks else ():
                kept[f"{phase} {name}"] = np.concatenate([block[name] for block in blocks]).tobytes()
        return kept


def forget(cache: Path) -> None:
    """Deletes the memos, and nothing else."""
    for key in look(LocalStore(cache)).memos:
        (cache / key).unlink()


def test_through_the_memo_and_without_it_sessions_are_the_same(photos: Path, tmp_path: Path, reads: Reads) -> None:
    cache, extractor, tests = tmp_path / "cache", Counting(), tmp_path / "tests"
    for label in LABELS:
        (tests / label).mkdir(parents=True)
        shutil.copyfile(min((PHOTOS / "test" / label).iterdir()), tests / label / "1.jpg")
    trained(photos, tmp_path / "alone", None, extractor, tests)
    trained(photos, tmp_path / "first", cache, extractor, tests)
    assert reads.taken() == NUMBER + 2
    trained(photos, tmp_path / "known", cache, extractor, tests)
    # The batch with the file that is no picture: nobody goes by what such a file holds.
    known = reads.taken()
    assert 1 <= known <= 16
    forget(cache)
    trained(photos, tmp_path / "read", cache, extractor, tests)
    assert reads.taken() == NUMBER + 2
    alone, first, unread, read = (left(tmp_path / name) for name in ("alone", "first", "known", "read"))
    assert len(alone) > 8
    assert alone == first == unread == read
    trained(photos, tmp_path / "again", cache, extractor, tests)
    assert reads.taken() == known


def test_a_changed_file_is_read_whatever_its_time_stamp_says(photos: Path, tmp_path: Path, reads: Reads) -> None:
    cache, extractor = tmp_path / "cache", Counting()
    trained(photos, tmp_path / "first", cache, extractor)
    one, other = sorted((photos / "Banana").iterdir())[:2]
    before = one.stat()
    # As many bytes as before, and the time of the last write set back: only the time of the change tells.
    while one.stat().st_ctime_ns == before.st_ctime_ns:
        one.write_bytes(other.read_bytes()[: before.st_size].ljust(before.st_size, b"\0"))
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    reads.taken()
    trained(photos, tmp_path / "known", cache, extractor)
    assert f"Banana/{one.name}" in reads.keys
    clear(LocalStore(cache))
    trained(photos, tmp_path / "read", cache, extractor)
    assert left(tmp_path / "known") == left(tmp_path / "read")
    assert left(tmp_path / "known") != left(tmp_path / "first")


def test_to_verify_the_content_every_image_is_read(photos: Path, tmp_path: Path, reads: Reads) -> None:
    cache, extractor = tmp_path / "cache", Counting()
    trained(photos, tmp_path / "first", cache, extractor)
    reads.taken()
    trained(photos, tmp_path / "verified", cache, extractor, verify_content=True)
    assert len(set(reads.keys)) == NUMBER
    assert left(tmp_path / "verified") == left(tmp_path / "first")


def test_images_made_just_now_are_read_again(
    photos: Path, tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("mlsession.store.stamps.SETTLED_SECONDS", 3600.0)
    trained(photos, tmp_path / "first", tmp_path / "cache", Counting())
    assert not look(LocalStore(tmp_path / "cache")).memos
    assert look(LocalStore(tmp_path / "cache")).packs


def test_what_choosing_has_read_is_known_to_all_that_follows(photos: Path, tmp_path: Path, reads: Reads) -> None:
    def chosen(session: str) -> ml.Classifier:
        algorithm = ml.TransferLearning(
            feature_extractor=AutomaticExtractor(candidates=[Lite1(), ml.scene_print()]),
            classifier=ml.LogisticRegressor(l2=1.0),
        )
        parameters = ml.ModelParameters(validation=ml.Validation.none(), algorithm=algorithm)
        at = SessionParameters(tmp_path / session, cache=str(tmp_path / "cache"), iterations=1)
        return ml.Classifier.train(ml.DataSource.labeled_directories(photos), parameters, at).result()

    first = chosen("first")
    tried = len(first.extractor_choice.ratings) if first.extractor_choice else 0
    # Extracting reads again what cannot be known: the batch with the file that is no picture.
    assert tried * NUMBER < reads.taken() <= tried * NUMBER + 16
    again = chosen("again")
    assert reads.taken() <= (tried + 1) * 16
    assert (again.extractor_choice, again.model_digest) == (first.extractor_choice, first.model_digest)
