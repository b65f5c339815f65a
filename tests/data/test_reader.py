"""Images of one source read by many threads: through one handle where one serves all, else each through its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from mlsession.clock import SystemClock
from mlsession.data.reader import SourceReader, StoreHandles
from mlsession.errors import StoreError, StoreUnavailable
from mlsession.phases.pictures import MOST_READERS
from mlsession.store import FreshOptions, MemorySpace, MemoryStore, Store, open_store
from mlsession.store.buckets.clients import CONNECTIONS
from mlsession.store.retrying import Backoff, RetryingStore
from mlsession.store.timely import timely_opener
from mlsession.testing.clock import FakeClock
from tests.servers.gateway import gateway
from tests.servers.s3 import S3Server
from tests.servers.wayward import wayward

COUNT = 16
"""More than the ten connections that a client of S3 has by itself."""


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    url = s3_server.new_bucket_url()
    with closing(open_store(url, s3_server.storage_options)) as store:
        for number in range(COUNT):
            store.put(f"{number}.jpg", b"%d" % number * 1000)
    return url


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(COUNT) as executor:
        yield executor


class Counted:
    """Opens handles; counts them."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self.opened: list[Store] = []

    def __call__(self) -> Store:
        self.opened.append(self._open_store())
        return self.opened[-1]


def test_one_handle_on_a_bucket_serves_all_threads(
    bucket: str, s3_server: S3Server, threads: ThreadPoolExecutor
) -> None:
    """All of them wait at once."""
    with wayward(s3_server.endpoint_url) as way:
        together = threading.Barrier(COUNT)
        options = {**s3_server.storage_options, "endpoint_url": way.endpoint_url}
        opened = Counted(lambda: open_store(bucket, options))
        way.hold(COUNT)
        with closing(SourceReader(opened)) as reader:

            def read(number: int) -> bytes:
                together.wait(60)
                return reader.read(f"{number}.jpg")

            found = list(threads.map(read, range(COUNT)))
            assert reader.opens_shared()
        assert found == [b"%d" % number * 1000 for number in range(COUNT)]
        assert len(opened.opened) == 1
        assert way.most == COUNT
        with pytest.raises(StoreError, match="closed"):
            opened.opened[0].get("0.jpg")
    assert CONNECTIONS >= MOST_READERS


def test_who_states_a_number_of_connections_gets_that(bucket: str, s3_server: S3Server) -> None:
    given = {"max_pool_connections": 3, "read_timeout": 7}
    for scheme, options in (
        ("", {**s3_server.storage_options, "config_kwargs": given}),
        ("simplecache::", {"s3": {**s3_server.storage_options, "config_kwargs": given}}),
    ):
        with closing(open_store(f"{scheme}{bucket}", options)) as store:
            store.get("1.jpg")
            found = store._open.s3.meta.config  # type: ignore[attr-defined]
            assert (found.max_pool_connections, found.read_timeout) == (3, 7)
    assert given == {"max_pool_connections": 3, "read_timeout": 7}


def test_other_stores_have_a_handle_for_each_thread(threads: ThreadPoolExecutor) -> None:
    space, together = MemorySpace(), threading.Barrier(COUNT)
    MemoryStore(space).put("key", b"data")
    opened = Counted(lambda: MemoryStore(space))
    with closing(SourceReader(opened)) as reader:

        def read(number: int) -> bytes:
            together.wait(60)
            return reader.read("key")

        assert set(threads.map(read, range(COUNT))) == {b"data"}
        assert not reader.opens_shared()
    assert len(opened.opened) == COUNT + 1


def test_a_handle_that_cannot_be_opened_is_tried_again() -> None:
    errors: list[Exception] = [StoreUnavailable("away"), StoreError("wrong")]
    space = MemorySpace()

    def opened() -> Store:
        if errors:
            raise errors.pop(0)
        return MemoryStore(space)

    handles = StoreHandles(opened)
    for message in ("away", "wrong"):
        with pytest.raises(StoreError, match=message):
            handles.here()
    assert handles.here() is handles.here()
    handles.close()


def test_credentials_are_renewed_once_for_all_threads(
    bucket: str, s3_server: S3Server, threads: ThreadPoolExecutor
) -> None:
    with gateway(s3_server.endpoint_url, "key-1") as gate:
        leased: list[str] = []

        def lease() -> dict[str, object]:
            leased.append(gate.key)
            return {"key": gate.key, "secret": "a/very+secret/value", "endpoint_url": gate.endpoint_url}

        def opened() -> Store:
            timely = timely_opener(bucket, lambda: open_store(bucket, FreshOptions(lease)), SystemClock(), 60.0)
            return RetryingStore(timely(), FakeClock(), Backoff(), lambda *about: None)

        with closing(SourceReader(opened)) as reader:
            for number in (1, 2, 3):
                gate.key = f"key-{number}"
                found = list(threads.map(lambda row: reader.read(f"{row}.jpg"), range(COUNT)))
                assert found == [b"%d" % row * 1000 for row in range(COUNT)]
        assert leased == ["key-1", "key-2", "key-3"]
        assert gate.refused >= 2
