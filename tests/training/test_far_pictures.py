"""Pictures in a bucket: hung and cut replies cost time and no picture, whoever reads; a cache on this machine works."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import mlsession as ml
from mlsession.errors import Cancelled, StoreUnavailable
from mlsession.events import StoreRetried
from mlsession.phases.evaluated import short_sides_of
from mlsession.session.phase import Phase
from mlsession.store import LocalStore, open_store
from mlsession.store.reading import READ_TIMEOUT, ReadPolicy
from mlsession.testing.clock import FakeClock
from mlsession.testing.tiny_extractor import TinyExtractor
from tests.photos import copy_photos
from tests.servers.s3 import S3Server
from tests.servers.wayward import Way, wayward

pytestmark = pytest.mark.sampled(0.5)

PARAMETERS = ml.ModelParameters(
    algorithm=ml.TransferLearning(feature_extractor=TinyExtractor()), validation=ml.Validation.none()
)
Train = Callable[..., ml.Job[ml.Classifier]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 photos of each of two kinds: three batches."""
    return copy_photos(tmp_path_factory.mktemp("photos") / "train", "train", 20, ("Banana", "Kiwi"))


@pytest.fixture(scope="module")
def bucket(photos: Path, s3_server: S3Server) -> str:
    url = s3_server.new_bucket_url()
    with closing(open_store(url, s3_server.storage_options)) as store:
        here = LocalStore(photos)
        for entry in here.list():
            store.put(entry.key, here.get(entry.key))
    return url


@pytest.fixture(scope="module")
def expected(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The model that the same photos give from a local disk."""
    where = ml.SessionParameters(tmp_path_factory.mktemp("local") / "session", iterations=2, cache=None)
    source = ml.DataSource.labeled_directories(photos)
    return ml.Classifier.train(source, PARAMETERS, where).result().model_digest


@pytest.fixture
def way(s3_server: S3Server) -> Iterator[Way]:
    with wayward(s3_server.endpoint_url) as way:
        yield way


@pytest.fixture
def train(way: Way, s3_server: S3Server, tmp_path: Path) -> Train:
    """Starts or continues a training in a local session."""
    behind = {**s3_server.storage_options, "endpoint_url": way.endpoint_url}

    def begin(url: str, session: str = "session", iterations: int = 2, **options: Any) -> ml.Job[ml.Classifier]:
        cached = {"cache_storage": str(tmp_path / "pictures"), "s3": behind}
        source = ml.DataSource.labeled_directories(url, cached if "::" in url else behind)
        about = {"iterations": iterations, "checkpoint_interval": 1, "cache": None, **options}
        where = ml.SessionParameters(tmp_path / session, **about)
        return ml.Classifier.train(source, PARAMETERS, where)

    return begin


def key_of(photos: Path, row: int) -> str:
    return sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.jpg"))[row]


def test_a_picture_that_hangs_is_asked_for_again(
    photos: Path, bucket: str, way: Way, train: Train, expected: str
) -> None:
    hanging, cut = key_of(photos, 30), key_of(photos, 7)
    way.held[f"/{hanging}"], way.cut[f"/{cut}"] = 1, 1
    job = train(bucket, read_timeout=2.0)
    classifier = job.result()
    assert classifier.model_digest == expected
    assert classifier.training_metrics.count == 40
    retried = [event for event in job.events() if isinstance(event, StoreRetried)]
    assert any(event.operation == f"get {hanging}" and "no answer within 2 s" in event.reason for event in retried)


def test_one_that_never_comes_ends_the_run_which_goes_on_later(
    photos: Path, bucket: str, way: Way, train: Train, expected: str
) -> None:
    """No picture is left out, and what was extracted before is not extracted again."""
    hanging = key_of(photos, 38)
    way.held[f"/{hanging}"] = 99
    with pytest.raises(StoreUnavailable, match=rf"{hanging}.*; the session can be resumed when the store is back"):
        # Patience for what a busy machine answers late, too: the listing, above all.
        train(bucket, read_timeout=4.0, store_patience=10).result()
    way.held.clear()
    way.asked.clear()
    assert train(bucket, stale_after=0.1).result().model_digest == expected
    # Each once more at the end, to see how large they are.
    read = Counter(path.partition("/")[2].partition("/")[2] for path in way.asked if path.endswith(".jpg"))
    assert read[hanging] > 1
    assert sum(count > 1 for count in read.values()) < 40


def test_a_stop_is_heeded_while_the_last_look_at_pictures_hangs(
    photos: Path, bucket: str, way: Way, train: Train, tmp_path: Path
) -> None:
    """It is looked at again later on; a source that is away for good costs what it would have shown."""

    def looked_at() -> tuple[int, int]:
        """The newest evaluation, and of how many pictures it knows the size."""
        with ml.Classifier.restore_training_session(ml.SessionParameters(tmp_path / "session")) as opened:
            state, newest = opened.past.state(Phase.EVALUATING), opened.timeline.newest[Phase.EVALUATING]
            return newest.number, len(short_sides_of(state))

    train(bucket).result()
    before = looked_at()
    way.asked.clear()
    way.held.update({f"/{key_of(photos, row)}": 99 for row in range(40)})
    job = train(bucket, iterations=3)  # The features are there; of the pictures only the sizes are asked for.
    while not any(path.endswith(".jpg") for path in way.asked):
        assert not job.done()
        time.sleep(0.01)
    job.cancel("enough")
    assert isinstance(job.exception(), Cancelled)
    assert looked_at() == before
    way.held.clear()
    train(bucket, iterations=3).result()
    number, count = looked_at()
    assert number > before[0]
    assert count == before[1] == 40


def test_a_cache_of_pictures(bucket: str, way: Way, train: Train, expected: str) -> None:
    for session in ("first", "second"):
        classifier = train(f"simplecache::{bucket}", session).result()
        assert classifier.model_digest == expected
    assert sum(path.endswith(".jpg") for path in way.asked) == 40


def behind(way: Way, s3_server: S3Server, url: str) -> ml.DataSource:
    options = {**s3_server.storage_options, "endpoint_url": way.endpoint_url}
    return ml.DataSource.labeled_directories(url, options)


def test_a_scan_asks_again_for_what_hangs(photos: Path, bucket: str, way: Way, s3_server: S3Server) -> None:
    hanging, clock, told = key_of(photos, 20), FakeClock(), list[str]()

    def tell(operation: str, error: Exception, attempt: int, delay: float) -> None:
        told.append(f"{operation}: {error}")

    way.held[f"/{hanging}"] = 1
    with ThreadPoolExecutor(1) as thread:
        source = behind(way, s3_server, bucket)
        scanning = thread.submit(ml.scan, source, on_retry=tell, clock=clock)
        while not any(path.endswith(f"/{hanging}") for path in way.asked) or way.going_on > 1:
            assert not scanning.done()
            time.sleep(0.01)
        clock.sleep(READ_TIMEOUT)
        report = scanning.result()
    assert f"get {hanging}: {bucket}: no answer within 300 s ({hanging})" in told
    assert sum(count.readable for count in report.counts["training"].values()) == 40


def test_a_part_of_a_listing_and_opening_come_to_an_end(bucket: str, way: Way, s3_server: S3Server) -> None:
    """And are asked for again."""
    told = list[str]()

    def tell(operation: str, error: Exception, attempt: int, delay: float) -> None:
        told.append(f"{operation}: {error}")

    way.held[f"/{bucket.removeprefix('s3://')}"] = 1
    policy = ReadPolicy(read_timeout=4.0, on_retry=tell)
    assert len(behind(way, s3_server, bucket).index(policy=policy)) == 40
    assert set(told) == {f"list : {bucket}: no answer within 4 s (list )"}
