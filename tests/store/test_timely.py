"""Reads that come to an end: of stores that hang, over real connections and without; tried again alone, or given up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing

import pytest

from mlsession.clock import Clock, SystemClock
from mlsession.errors import Interrupted, KeyMissing, StoreError, StoreUnavailable
from mlsession.store import MemorySpace, MemoryStore, Store, open_store
from mlsession.store.retrying import Backoff, RetryingStore
from mlsession.store.sharing import shares_reads
from mlsession.store.timely import NAP_SECONDS, TimelyStore, timely_opener
from mlsession.testing.clock import FakeClock
from tests.servers.s3 import S3Server
from tests.servers.wayward import Way, wayward

SOON = 0.3
"""Seconds after which reads count as hanging here."""
LONG = 60.0
"""No test gets that far, unless it fails."""


class Stuck(MemoryStore):
    """A store on which one key hangs until it is let go; says what is read, and what is read beside it."""

    def __init__(self, space: MemorySpace, release: threading.Event, said: list[str]) -> None:
        super().__init__(space)
        self._release = release
        self.said = said

    def get(self, key: str) -> bytes:
        self.said.append(f"{key} begins")
        if key == "stuck" and not self._release.wait(LONG):
            raise AssertionError("nobody let it go")
        data = super().get(key)
        self.said.append(f"{key} ends")
        return data


class Place:
    """Where `stuck` hangs at first; counts the handles that are opened."""

    def __init__(self) -> None:
        self.release, self.said, self.opened = threading.Event(), list[str](), 0
        self._space = MemorySpace()
        for key in ("stuck", "a", "b"):
            MemoryStore(self._space).put(key, key.encode())

    def open(self) -> Store:
        self.opened += 1
        return Stuck(self._space, self.release, self.said)


@pytest.fixture
def place() -> Iterator[Place]:
    found = Place()
    yield found
    found.release.set()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def passing(place: Place, clock: FakeClock) -> Callable[[], None]:
    """Has time pass for who waits for a read that hangs, and for nobody else."""
    return lambda: clock.sleep(1.0) if place.said[-1:] == ["stuck begins"] else None


def timely(place: Place, clock: FakeClock, heed: Callable[[], None]) -> Callable[[], Store]:
    return timely_opener("memory://place", place.open, clock, 5.0, heed, heed_after=0.0)


def test_a_read_that_hangs_is_given_up_and_its_handle_left(place: Place, clock: FakeClock) -> None:
    store = timely(place, clock, passing(place, clock))()
    assert (store.get("a"), place.opened) == (b"a", 1)
    for opened in (1, 2):
        with pytest.raises(StoreUnavailable, match=r"memory://place: no answer within 5 s \(stuck\)") as caught:
            store.get("stuck")
        assert (caught.value.key, place.opened) == ("stuck", opened)
        place.said.clear()
    assert (store.get("b"), place.opened) == (b"b", 3)
    place.release.set()
    assert store.get("stuck") == b"stuck"
    with pytest.raises(KeyMissing):
        store.get("none")
    assert place.opened == 3


def test_what_ends_all_waiting_ends_a_read(place: Place, clock: FakeClock) -> None:
    asked: list[bool] = []

    def heed() -> None:
        asked.append(True)
        if len(asked) > 2:
            raise Interrupted("SIGTERM")

    with pytest.raises(Interrupted, match="SIGTERM"):
        timely(place, clock, heed)().get("stuck")
    # A read that ends soon is waited for even so.
    assert timely_opener("memory://place", place.open, clock, 5.0, heed, heed_after=1.0)().get("a") == b"a"


def test_it_is_tried_again_alone(place: Place, clock: FakeClock) -> None:
    """While `stuck` is read again, `b` waits."""
    patient: list[bool] = []
    opened = timely(place, clock, lambda: None if patient else passing(place, clock)())
    first, second = opened(), opened()
    with pytest.raises(StoreUnavailable):
        first.get("stuck")
    patient.append(True)
    place.said.clear()
    with ThreadPoolExecutor(2) as threads:
        again = threads.submit(first.get, "stuck")
        while "stuck begins" not in place.said:
            assert not again.done()
        beside = threads.submit(second.get, "b")
        assert not wait([beside], NAP_SECONDS).done
        place.release.set()
        assert (again.result(LONG), beside.result(LONG)) == (b"stuck", b"b")
    assert place.said[0] == "stuck begins"
    assert place.said.index("stuck ends") < place.said.index("b begins")


def test_who_waits_for_a_turn_gives_up_like_who_hangs(place: Place, clock: FakeClock) -> None:
    opened = timely(place, clock, passing(place, clock))
    stores = [opened() for _ in range(4)]

    def fail(store: Store) -> str:
        with pytest.raises(StoreUnavailable) as caught:
            store.get("stuck")
        return str(caught.value)

    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            assert {"no answer within" in said for said in threads.map(fail, stores)} == {True}


def test_opening_again_may_fail(place: Place) -> None:
    """Whatever opening raises; the next call tries it again."""
    errors: list[Exception] = [StoreUnavailable("away"), StoreError("wrong")]

    def opened() -> Store:
        if errors:
            raise errors.pop(0)
        return place.open()

    store = timely_opener("memory://place", opened, SystemClock(), LONG)()
    patient = RetryingStore(store, SystemClock(), Backoff(first=0.001), lambda *about: None)
    with pytest.raises(StoreError, match="wrong"):
        shares_reads(patient)
    assert not shares_reads(patient)
    assert patient.get("a") == b"a"


def test_a_local_store_is_asked_as_it_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = str(tmp_path_factory.mktemp("local"))
    assert not isinstance(timely_opener(folder, lambda: open_store(folder), SystemClock(), SOON)(), TimelyStore)


class TestOnAServer:
    """Through s3fs, whose own patience is longer."""

    @pytest.fixture
    def way(self, s3_server: S3Server) -> Iterator[Way]:
        with wayward(s3_server.endpoint_url, 0.05) as way:
            yield way

    @pytest.fixture
    def url(self, s3_server: S3Server) -> str:
        url = s3_server.new_bucket_url()
        with closing(open_store(url, s3_server.storage_options)) as store:
            for number in range(8):
                store.put(f"{number}.jpg", b"%d" % number * 5000)
            store.put("empty.jpg", b"")
        return url

    def opened(
        self,
        url: str,
        way: Way,
        s3: S3Server,
        seconds: float,
        backoff: Backoff | None = None,
        clock: Clock | None = None,
    ) -> RetryingStore:
        options = {**s3.storage_options, "endpoint_url": way.endpoint_url}
        clock = clock or SystemClock()
        opener = timely_opener(url, lambda: open_store(url, options), clock, seconds)
        return RetryingStore(opener(), clock, backoff or Backoff(first=0.01), self.tell)

    def tell(self, operation: str, error: StoreUnavailable, attempt: int, delay: float) -> None:
        self.told.append(f"{operation}: {error}")

    @pytest.fixture(autouse=True)
    def nothing_told(self) -> None:
        self.told: list[str] = []

    def test_a_hung_reply_is_asked_for_again_alone(self, url: str, way: Way, s3_server: S3Server) -> None:
        way.held["/3.jpg"] = 1
        clock, keys = FakeClock(), [f"{number}.jpg" for number in range(8)]
        opened = self.opened(url, way, s3_server, LONG, clock=clock)
        with closing(opened) as store, ThreadPoolExecutor(8) as threads:
            assert shares_reads(store)
            found = [threads.submit(store.get, key) for key in keys]
            wait(found[:3] + found[4:])
            assert not found[3].done()
            clock.sleep(LONG)
            assert [one.result(LONG) for one in found] == [b"%d" % number * 5000 for number in range(8)]
            assert store.get("empty.jpg") == b""
        assert self.told == [f"get 3.jpg: {url}: no answer within 60 s (3.jpg)"]
        assert sum(path.endswith("/3.jpg") for path in way.asked) == 2

    def test_a_reply_that_is_cut_is_no_shorter_value(self, url: str, way: Way, s3_server: S3Server) -> None:
        way.cut["/3.jpg"] = 2
        with closing(self.opened(url, way, s3_server, LONG)) as store:
            assert store.get("3.jpg") == b"3" * 5000
        assert way.cut["/3.jpg"] < 0

    def test_a_server_that_never_answers_ends_in_an_error(self, url: str, way: Way, s3_server: S3Server) -> None:
        way.held["/3.jpg"] = 99
        backoff = Backoff(first=0.01, give_up_after=SOON)
        with (
            closing(self.opened(url, way, s3_server, SOON, backoff)) as store,
            pytest.raises(StoreUnavailable, match="the session can be resumed when the store is back"),
        ):
            store.get("3.jpg")
        assert self.told
