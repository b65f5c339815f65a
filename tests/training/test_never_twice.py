"""No picture is extracted twice: whatever else is trained on it, whatever it is called, wherever the run goes on.

Every test counts the pictures that the extractor was given.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

import mlsession as ml
from mlsession.cache.upkeep import clear, look
from mlsession.data.reader import SourceReader
from mlsession.errors import Cancelled, ModifiedTrainingData, UnreadableImage
from mlsession.events import CacheFailed, CheckpointCommitted
from mlsession.randomness import keyed_generator
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Phase
from mlsession.session.session import TrainingSession
from mlsession.store import LocalStore, open_store
from tests.photos import PHOTOS, copy_photos
from tests.servers.ftp import FtpServer
from tests.servers.s3 import S3Server

from .counting import Counting

pytestmark = pytest.mark.sampled(0.5)

LABELS, EACH = ("Banana", "Kiwi"), 20
NUMBER = EACH * len(LABELS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 photos, no two alike; not to be changed."""
    return copy_photos(tmp_path_factory.mktemp("photos") / "train", "train", EACH, LABELS)


@dataclass
class Runs:
    """Trainings that share an extractor, and a cache unless they have another one."""

    photos: Path | str
    folder: Path
    cache: str | None = "auto"
    extractor: Counting = field(default_factory=Counting)
    number: int = 0

    def start(
        self,
        data: Path | str | None = None,
        session: str | Path | None = None,
        classifier: ml.LogisticRegressor | ml.MultilayerPerceptron | None = None,
        validation: ml.Validation | None = None,
        seed: int = 0,
        augmentation: tuple[str, ...] = (),
        on_bad_image: Literal["skip", "fail"] = "skip",
        **options: object,
    ) -> ml.Job[ml.Classifier]:
        self.number += 1
        parameters = ml.ModelParameters(
            seed=seed,
            on_bad_image=on_bad_image,
            augmentation=augmentation,
            validation=validation or ml.Validation.none(),
            algorithm=ml.TransferLearning(
                feature_extractor=self.extractor, classifier=classifier or ml.LogisticRegressor()
            ),
        )
        where = {"cache": self.cache, "checkpoint_interval": 1, "iterations": 2, "stale_after": 0.0, **options}
        at = ml.SessionParameters(
            session or self.folder / f"session-{self.number}",
            **where,  # type: ignore[arg-type]
        )
        source = ml.DataSource.labeled_directories(data or self.photos, storage_options=at.storage_options)
        return ml.Classifier.train(source, parameters, at)

    def extracted(self, **options: object) -> int:
        """How many pictures a training from beginning to end extracts."""
        self.extractor.taken()
        self.start(**options).result()  # type: ignore[arg-type]
        return self.extractor.taken()


@pytest.fixture
def runs(photos: Path, tmp_path: Path) -> Runs:
    """With every photo in the cache."""
    made = Runs(photos, tmp_path)
    assert made.extracted() == NUMBER
    return made


def test_another_head_split_or_seed_extracts_nothing(runs: Runs) -> None:
    assert runs.extracted(classifier=ml.MultilayerPerceptron(layer_sizes=(4,))) == 0
    assert runs.extracted(classifier=ml.LogisticRegressor(l2=0.1)) == 0
    assert runs.extracted(validation=ml.Validation.split(0.2, seed=3)) == 0
    assert runs.extracted(seed=7) == 0


def test_what_is_new_alone_is_extracted(runs: Runs, tmp_path: Path) -> None:
    more = tmp_path / "more"
    shutil.copytree(runs.photos, more)
    for label in LABELS:
        for photo in sorted((PHOTOS / "test" / label).iterdir())[:5]:
            shutil.copy2(photo, more / label / f"new-{photo.name}")
    assert runs.extracted(data=more) == 10
    assert runs.extracted(data=more, augmentation=("flip",)) == NUMBER + 10, "a view beside each photo"
    assert runs.extracted(data=more, augmentation=("flip",), seed=1) == 0
    assert runs.extracted(data=more) == 0


def test_whatever_images_are_called_and_wherever_they_lie(runs: Runs, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed"
    for label in LABELS:
        (renamed / f"my {label}").mkdir(parents=True)
        for photo in (Path(runs.photos) / label).iterdir():
            name = hashlib.sha256(photo.name.encode()).hexdigest()
            shutil.copyfile(photo, renamed / f"my {label}" / f"{name}{photo.suffix}")
    assert runs.extracted(data=renamed) == 0
    # Another machine, as it were: the cache has moved, and the sessions are gone.
    shutil.copytree(tmp_path / ".mlsession-cache", tmp_path / "elsewhere")
    assert runs.extracted(data=renamed, session=tmp_path / "far" / "session", cache=str(tmp_path / "elsewhere")) == 0


def test_the_same_image_under_several_names_is_extracted_once(photos: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice"
    shutil.copytree(photos, twice)
    for label in LABELS:
        for photo in (photos / label).iterdir():
            shutil.copyfile(photo, twice / label / f"{photo.stem}-copy{photo.suffix}")
            shutil.copyfile(photo, twice / label / f"zz-{photo.name}")
    runs = Runs(photos, tmp_path)
    runs.start(data=twice).result()
    assert (runs.extractor.most_often(), runs.extractor.taken()) == (1, NUMBER)


def test_a_session_in_a_bucket_finds_the_cache_of_another(photos: Path, tmp_path: Path, s3_server: S3Server) -> None:
    bucket, options = s3_server.new_bucket_url(), s3_server.storage_options
    with closing(open_store(f"{bucket}/photos", options)) as store:
        for label in LABELS:
            for photo in sorted((photos / label).iterdir())[:4]:
                store.put(f"{label}/{photo.name}", photo.read_bytes())
    runs = Runs(f"{bucket}/photos", tmp_path)
    assert runs.extracted(session=f"{bucket}/sessions/one", storage_options=options) == 8
    assert runs.extracted(session=f"{bucket}/sessions/two", storage_options=options, seed=1) == 0
    with closing(open_store(f"{bucket}/sessions/.mlsession-cache", options)) as store:
        assert len(look(store).packs) == 1


def test_what_a_bucket_s_tags_say_is_not_read_again(
    photos: Path, tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, options = s3_server.new_bucket_url(), s3_server.storage_options
    reads, read = list[str](), SourceReader.read

    def counted(self: SourceReader, key: str) -> bytes:
        reads.append(key)
        return read(self, key)

    monkeypatch.setattr(SourceReader, "read", counted)
    runs = Runs(f"{bucket}/photos", tmp_path)

    def read_by(name: str, **given: object) -> list[str]:
        reads.clear()
        runs.extracted(session=tmp_path / name, storage_options=options, **given)
        return sorted(reads)

    with closing(open_store(f"{bucket}/photos", options)) as store:
        keys = [f"{label}/{number:02}.jpg" for label in LABELS for number in range(20)]
        for key in keys:
            label, number = key[:-4].split("/")
            store.put(key, sorted((photos / label).iterdir())[int(number) % 10].read_bytes())
        # Others read a few of them, too, to see how large pictures are.
        first = read_by("one")
        assert set(first) == set(keys)
        looked_at = len(first) - len(keys)
        assert len(read_by("two", seed=1)) == looked_at
        # Another content of the same name has another tag.
        store.put(keys[3], store.get(keys[4])[:-1])
        assert keys[3] in read_by("three", seed=2)


def bitmap(seed: int) -> bytes:
    """A picture; all have as many bytes."""
    pixels = keyed_generator(seed, "bitmap").integers(0, 256, (32, 32, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "BMP")
    return data.getvalue()


def test_the_tags_of_a_recorded_listing_say_nothing_of_today(tmp_path: Path, s3_server: S3Server) -> None:
    bucket, options = s3_server.new_bucket_url(), s3_server.storage_options
    runs, session = Runs(f"{bucket}/photos", tmp_path), tmp_path / "session"
    keys = [f"{label}/{number:02}.bmp" for label in LABELS for number in range(20)]
    with closing(open_store(f"{bucket}/photos", options)) as store:
        for number, key in enumerate(keys):
            store.put(key, bitmap(number))
        assert runs.extracted(session=tmp_path / "first", storage_options=options) == len(keys)
        # A session that lists the images, and ends before any of them is extracted.
        store.put(keys[0], b"x" * len(bitmap(0)))
        with pytest.raises(UnreadableImage):
            runs.start(session=session, on_bad_image="fail", storage_options=options).result()
        # Of equal size, and never extracted: nobody can know that it is another one.
        store.put(keys[0], bitmap(0))
        store.put(keys[-1], bitmap(100))
    runs.start(session=session, on_bad_image="fail", storage_options=options).result()
    with TrainingSession(lambda: LocalStore(session), SessionParameters(session)) as opened:
        digests = np.concatenate([rows["digest"] for rows in opened.past.rows(Phase.EXTRACTING)])
    assert [row.tobytes() for row in digests[[0, -1]]] == [hashlib.sha256(bitmap(seed)).digest() for seed in (0, 100)]
    runs.start(session=session, on_bad_image="fail", storage_options=options).result()


def test_without_a_cache_a_session_still_extracts_its_own_once(photos: Path, tmp_path: Path) -> None:
    runs = Runs(photos, tmp_path, cache=None)
    assert runs.extracted(session=tmp_path / "session") == NUMBER
    assert runs.extracted(session=tmp_path / "session", iterations=4) == 0
    assert runs.extracted(session=tmp_path / "other") == NUMBER


def cut_short(runs: Runs, session: Path) -> int:
    """Stops a training in the midst of extracting; how many pictures were extracted by then."""
    job = runs.start(session=session, report_interval=1)
    for event in job.events():
        if isinstance(event, CheckpointCommitted) and event.phase == "extracting":
            job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    return runs.extractor.taken()


@pytest.mark.parametrize("cache", [None, "auto"])
def test_cut_short_it_goes_on_without_doing_anything_again(photos: Path, tmp_path: Path, cache: str | None) -> None:
    runs = Runs(photos, tmp_path, cache=cache)
    done = cut_short(runs, tmp_path / "session")
    assert done > 0
    again = runs.extracted(session=tmp_path / "session")
    # What workers had ahead of the last commit is lost with a kill: with a cache none of what was handed over.
    assert done + again <= NUMBER + 64
    assert again < NUMBER


def test_a_damaged_or_deleted_pack_costs_its_rows_alone(runs: Runs, tmp_path: Path) -> None:
    with closing(open_store(str(tmp_path / ".mlsession-cache"))) as store:
        (key,) = look(store).packs
        data = store.get(key)
        store.put(key, data[:-1] + bytes([data[-1] ^ 1]))
        assert runs.extracted() == NUMBER
        assert runs.extracted() == 0
        clear(store)
    assert runs.extracted() == NUMBER
    assert runs.extracted() == 0


def test_a_cache_that_is_too_small_for_a_run_says_so(photos: Path, tmp_path: Path) -> None:
    job = Runs(photos, tmp_path).start(cache_size=1_000)
    job.result()
    assert {event.reason for event in job.events() if isinstance(event, CacheFailed)} == {
        "what this run uses is more than its 1,000 bytes; allow more with cache_size (--cache-size)"
    }


def ftp_runs(server: FtpServer, root: Path, photos: Path, tmp_path: Path) -> Runs:
    for label in LABELS:
        shutil.copytree(photos / label, root / "photos" / label)
    return Runs(f"{server.url}/photos", tmp_path)


def test_what_no_listing_shows_is_found_by_reading_everything(photos: Path, tmp_path: Path) -> None:
    root = tmp_path / "served"
    root.mkdir()
    with FtpServer(root) as server:
        runs = ftp_runs(server, root, photos, tmp_path)
        session = tmp_path / "session"
        assert runs.extracted(session=session) == NUMBER
        assert runs.extracted(session=session, verify_content=True) == 0
        for number, label in enumerate(LABELS):
            path = sorted((root / "photos" / label).iterdir())[3 + number]
            times, content = path.stat(), bytearray(path.read_bytes())
            content[-3] ^= 1
            path.write_bytes(content)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            changed = f"{label}/{path.name}"
            assert runs.extracted(session=session) == 0, "the listing says that nothing has changed"
            with pytest.raises(ModifiedTrainingData) as caught:
                runs.start(session=session, verify_content=True).result()
            assert caught.value.replaced == (changed,)
            with ml.Classifier.restore_training_session(
                ml.SessionParameters(session, verify_content=True, cache=None)
            ) as stored:
                assert stored.parameters.verify_content
            # Taken on, it is extracted; the second time, too, when the listing is that of the update before.
            assert runs.extracted(session=session, verify_content=True, on_modified_data="update", cache=None) == 1
            assert runs.extracted(session=session, verify_content=True) == 0
            assert runs.extracted(session=session) == 0
