"""Listings of a bucket that are read a page at a time, on all services, against the whole one that fsspec gives.

And several values sent at once, and given up."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from contextlib import closing

import pytest
from fsspec.asyn import AsyncFileSystem, sync

from mlsession.clock import SystemClock
from mlsession.errors import StoreDenied, StoreError, StoreUnavailable
from mlsession.store import Entry, Store, open_store
from mlsession.store.buckets.objects import ObjectStore
from mlsession.store.buckets.remote import FsspecStore
from mlsession.store.buckets.s3 import page_after, page_at
from mlsession.store.bulk import PAGE, list_page
from mlsession.store.retrying import Backoff, RetryingStore
from mlsession.testing.gcs import GcsDouble, Refused, Reply, Request
from tests.servers.backends import Backend, backend_of
from tests.servers.s3 import S3Server
from tests.servers.wayward import wayward

KEYS = ("a", "folder/1", "folder/2", "folder/below/3", "folder/below/4", "folder-5", "über/6", "z")
SERVICES = ("s3", "gcs", "azure", "fake-gcs")


@pytest.fixture(scope="module", params=SERVICES)
def whole_bucket(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """Of eight keys."""
    backend: Backend = backend_of(request.param, tmp_path_factory.mktemp("none"), request.getfixturevalue)
    with closing(backend.open_store(backend.new_url())) as store:
        assert isinstance(store, ObjectStore)
        store.put_many({key: key.encode() for key in KEYS})
        yield store


@pytest.fixture
def bucket(whole_bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A page has three."""
    monkeypatch.setattr("mlsession.store.buckets.objects.PAGE", 3)
    return whole_bucket


@pytest.mark.parametrize("prefix", ["", "folder", "folder/", "folder/below", "fold", "none"])
def test_it_is_what_fsspec_lists(bucket: ObjectStore, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions, too: they are what changed data are known by."""
    whole = sorted(FsspecStore.list(bucket, prefix), key=lambda entry: entry.key)
    monkeypatch.setattr(FsspecStore, "list", not_asked)
    assert sorted(bucket.list(prefix), key=lambda entry: entry.key) == whole
    assert len(whole) == {"": 8, "fold": 0, "none": 0, "folder/below": 2}.get(prefix, 4)


def not_asked(store: FsspecStore, prefix: str = "") -> Iterator[Entry]:
    raise AssertionError(f"{store.url} was listed whole")


def test_no_more_than_a_part_is_asked_for_ahead(bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, ask = list[str](), ObjectStore.list_part

    def counted(store: ObjectStore, prefix: str, mark: str) -> object:
        asked.append(mark)
        return ask(store, prefix, mark)

    monkeypatch.setattr(ObjectStore, "list_part", counted)
    listing = bucket.list()
    assert len({next(listing).key for _ in range(3)}) == 3
    assert asked == [""]
    assert len(list(listing)) == 5
    assert len(asked) == len(set(asked)) == 3


def test_a_part_may_be_asked_for_again(bucket: ObjectStore) -> None:
    first = bucket.list_part("folder", "")
    assert first is not None
    assert len(first.entries) == 3
    following = [bucket.list_part("folder", first.mark) for _ in range(2)]
    assert following[0] == following[1]
    assert following[0] is not None
    assert {entry.key for entry in (*first.entries, *following[0].entries)} == set(KEYS[1:5])
    assert following[0].mark == ""


def test_pages_from_the_middle(bucket: ObjectStore) -> None:
    """Not with Azure."""
    keys = sorted(KEYS)
    for after in ("", *keys, "folder/", "folder/9"):
        page = list_page(bucket, "", after, 3)
        if bucket.url.startswith("abfs://"):
            assert page is None
        else:
            assert [entry.key for entry in page or ()] == [key for key in keys if key > after][:3]


def patient(store: Store, told: list[str]) -> RetryingStore:
    return RetryingStore(
        store, SystemClock(), Backoff(first=0.001, longest=0.001), lambda operation, *about: told.append(operation)
    )


@pytest.mark.parametrize("cut", [False, True])
def test_a_page_that_breaks_off_is_asked_for_again_alone(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, cut: bool
) -> None:
    """What came before it is not."""
    monkeypatch.setattr("mlsession.store.buckets.objects.PAGE", 40)
    url, told = s3_server.new_bucket_url(), list[str]()
    keys = [f"folder/{number % 7}/{number}" for number in range(100)]
    with closing(open_store(url, s3_server.storage_options)) as store:
        assert isinstance(store, ObjectStore)
        store.put_many(dict.fromkeys(keys, b""))
    with wayward(s3_server.endpoint_url) as way:
        once = {"config_kwargs": {"retries": {"max_attempts": 0}}}
        options = {**s3_server.storage_options, **once, "endpoint_url": way.endpoint_url}
        monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
        with closing(patient(open_store(url, options), told)) as store:
            listing = store.list("folder")
            found = [next(listing).key for _ in range(40)]
            way.cut[f"/{url.removeprefix('s3://')}"] = 2 if cut else 0
            found += [entry.key for entry in listing]
    assert sorted(found) == sorted(keys)
    assert told == ["list folder"] * (2 if cut else 0)
    assert len(way.asked) == 3 + len(told)


def test_a_page_of_google_that_fails_is_asked_for_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where pages are shorter than what was asked for."""
    fails, told = list[str](), list[str]()

    def intervene(request: Request) -> Reply | None:
        listed = request.method == "GET" and request.path.endswith("/o")
        if listed and "pageToken" in request.query and fails:
            fails.pop()
            return Refused(409, "conflict", "Try again").reply
        return None

    with GcsDouble(intervene=intervene, max_page=4) as double:
        options = {"endpoint_url": double.url, "token": "anon"}
        with closing(open_store("gs://bucket/place", options)) as store:
            assert isinstance(store, ObjectStore)
            store._open.mkdir("bucket")
            store.put_many({f"{number:02}": b"x" for number in range(30)})
            fails += ["once", "twice"]
            listing = patient(store, told).list()
            assert sorted(entry.key for entry in listing) == [f"{number:02}" for number in range(30)]
            assert [entry.key for entry in store.list_page("", "11", 9) or ()] == [f"{at}" for at in range(12, 21)]
        tokens = [
            request.query.get("pageToken")
            for request in double.requests
            if request.method == "GET" and request.path.endswith("/o") and "startOffset" not in request.query
        ]
    assert told == ["list ", "list "]
    assert len(tokens) == 8 + 2
    assert tokens[1] == tokens[2] == tokens[3]


class Endless:
    """A service with as many files as are asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def split_path(self, path: str) -> tuple[str, str, None]:
        bucket, _, key = path.partition("/")
        return bucket, key, None

    def call_s3(self, method: str, **options: object) -> dict[str, object]:
        self.calls += 1
        contents = [{"Key": f"{self.calls}/{number}", "Size": 1, "ETag": "x" * 40} for number in range(200)]
        return {"IsTruncated": True, "Contents": contents, "NextContinuationToken": f"{self.calls}"}


def test_a_listing_takes_the_memory_of_a_part() -> None:
    store = ObjectStore(Endless(), "bucket", scheme="s3", url="s3://bucket", scrub=str)
    listing = patient(store, []).list()
    tracemalloc.start()
    try:
        for _ in range(1_000):
            next(listing)
        _, of_few = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(10_000):
            next(listing)
        assert tracemalloc.get_traced_memory()[1] < 2 * of_few
    finally:
        tracemalloc.stop()


class Gateway(Endless):
    """One that says what it is told to."""

    def __init__(self, *replies: dict[str, object]) -> None:
        super().__init__()
        self.replies = list(replies)

    def call_s3(self, method: str, **options: object) -> dict[str, object]:
        return self.replies.pop(0)


def test_a_page_without_keys_that_is_not_the_last_ends_no_listing() -> None:
    """Some gateways leave out what has been deleted."""
    empty = {"IsTruncated": True, "KeyCount": 0, "NextContinuationToken": "more"}
    assert page_after(Gateway(empty), "bucket/folder", "", PAGE) is None, "nobody knows after what to go on"
    last = {"IsTruncated": False, "Contents": [{"Key": "k", "Size": 1}]}
    store = ObjectStore(Gateway(empty, last), "bucket", scheme="s3", url="s3://bucket", scrub=str)
    assert [entry.key for entry in store.list()] == ["k"]


def test_a_service_that_never_ends_is_no_listing() -> None:
    again = {"IsTruncated": True, "Contents": [{"Key": "k", "Size": 1}], "NextContinuationToken": "again"}
    store = ObjectStore(Gateway(again, again), "bucket", scheme="s3", url="s3://bucket", scrub=str)
    with pytest.raises(StoreError, match="the listing broke off"):
        list(store.list())
    silent = {"IsTruncated": True, "Contents": [{"Key": "k", "Size": 1}]}
    assert page_at(Gateway(silent), "bucket", "", PAGE) is None, "it does not say how to go on"


class Silent(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types.
    """Gives no answer to what is sent, or to one key a refusal."""

    protocol = "s3"

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.under_way: list[str] = []

    async def _pipe_file(self, path: str, data: bytes) -> None:
        self.under_way.append(path)
        try:
            if path.endswith("refused"):
                raise PermissionError(path)
            await asyncio.sleep(3600)
        finally:
            self.under_way.remove(path)


@pytest.mark.parametrize(("second", "kind"), [("b", StoreUnavailable), ("refused", StoreDenied)])
def test_what_is_given_up_is_not_left_under_way(second: str, kind: type[StoreError]) -> None:
    """With its bytes, which would be sent again and again while a store is away."""
    silent = Silent(skip_instance_cache=True)
    store = ObjectStore(silent, "bucket/k", scheme="s3", url="s3://bucket/k", scrub=str, patience_seconds=0.1)
    with closing(store), pytest.raises(kind):
        store.put_many({"a": b"x", second: b"y"})
    for _ in range(3):
        sync(silent.loop, asyncio.sleep, 0)  # A turn of the loop.
    assert silent.under_way == []
