from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.errors import CredentialsExpired, InvalidParameter, KeyExists, KeyMissing, StoreDenied, StoreUnavailable
from mlsession.store.memory import MemoryStore
from mlsession.store.protocol import Entry
from mlsession.store.retrying import Backoff, RetryingStore
from mlsession.testing.clock import FakeClock
from tests.session.stores import WrappedStore


class Failing(MemoryStore):
    """Does not answer the next `failures` calls."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(url="failing://")
        self.failures = failures
        self.closed = False

    def _fail(self, key: str) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable(f"503 for {key}", key)

    def get(self, key: str) -> bytes:
        self._fail(key)
        return super().get(key)

    def put_if_absent(self, key: str, data: bytes) -> None:
        self._fail(key)
        super().put_if_absent(key, data)

    def put(self, key: str, data: bytes) -> None:
        self._fail(key)
        super().put(key, data)

    def delete(self, key: str) -> None:
        self._fail(key)
        super().delete(key)

    def close(self) -> None:
        self.closed = True


class Patient:
    """A retrying store on a fake clock, and what it said."""

    def __init__(self, inner: Failing, backoff: Backoff | None = None) -> None:
        self.clock = FakeClock()
        self.retries: list[tuple[str, str, int, float]] = []
        self.store = RetryingStore(inner, self.clock, backoff or Backoff(), self._note)

    def _note(self, operation: str, error: StoreUnavailable, attempt: int, delay: float) -> None:
        self.retries.append((operation, str(error), attempt, delay))


def test_every_call_is_passed_on() -> None:
    patient = Patient(Failing())
    store = patient.store
    store.put("a/x", b"hello")
    store.put_if_absent("a/y", b"y")
    assert store.get("a/x") == b"hello"
    assert store.get_range("a/x", 1, 3) == b"el"
    assert sorted(entry.key for entry in store.list("a")) == ["a/x", "a/y"]
    store.delete("a/x")
    with pytest.raises(KeyMissing):
        store.get("a/x")
    with pytest.raises(KeyExists):
        store.put_if_absent("a/y", b"z")
    assert store.url == "failing://"
    assert (patient.retries, patient.clock.monotonic()) == ([], 0)


@pytest.mark.parametrize("name", ["get", "get_range", "put", "put_if_absent", "delete"])
def test_what_does_not_answer_is_tried_again(name: str) -> None:
    inner = Failing()
    inner.put("key", b"value")
    patient = Patient(inner)
    inner.failures = 3
    calls: dict[str, Callable[[], bytes | None]] = {
        "get": lambda: patient.store.get("key"),
        "get_range": lambda: patient.store.get_range("key", 0, 5),
        "put": lambda: patient.store.put("key", b"value"),
        "put_if_absent": lambda: patient.store.put_if_absent("new", b"value"),
        "delete": lambda: patient.store.delete("other"),
    }
    assert calls[name]() in (b"value", None)
    assert [(attempt, message[:4]) for _, message, attempt, _ in patient.retries] == [
        (1, "503 "),
        (2, "503 "),
        (3, "503 "),
    ]
    assert patient.clock.monotonic() == pytest.approx(sum(delay for *_, delay in patient.retries))


def test_a_listing_that_breaks_off_starts_again() -> None:
    class Breaking(Failing):
        def list(self, prefix: str = "") -> Iterator[Entry]:
            for number, entry in enumerate(tuple(MemoryStore.list(self, prefix))):
                if number == 1:
                    self._fail("")
                yield entry

    inner = Breaking()
    for key in ("a", "b", "c"):
        inner.put(key, b"")
    inner.failures = 2
    patient = Patient(inner)
    assert sorted(entry.key for entry in patient.store.list()) == ["a", "b", "c"]
    assert len(patient.retries) == 2


def test_what_another_try_does_not_help_is_raised_at_once() -> None:
    class Denying(Failing):
        def get(self, key: str) -> bytes:
            raise StoreDenied("no", key)

    patient = Patient(Denying())
    with pytest.raises(StoreDenied):
        patient.store.get("key")
    assert patient.retries == []


def test_patience_ends_with_a_message_that_says_what_to_do() -> None:
    patient = Patient(Failing(10**9), Backoff(give_up_after=100))
    with pytest.raises(StoreUnavailable) as raised:
        patient.store.get("log/1")
    waited = patient.clock.monotonic()
    assert 40 < waited <= 100
    assert str(raised.value) == (
        f"failing:// has not answered for {waited:.0f} s (get log/1: 503 for log/1); "
        "the session can be resumed when the store is back"
    )
    assert raised.value.key == "log/1"
    assert isinstance(raised.value.__cause__, StoreUnavailable)


def test_no_patience_means_one_try() -> None:
    patient = Patient(Failing(1), Backoff(give_up_after=0))
    with pytest.raises(StoreUnavailable):
        patient.store.get("key")
    assert (patient.retries, patient.clock.monotonic()) == ([], 0)


def test_patience_is_counted_from_the_first_failure() -> None:
    clock = FakeClock()

    class Slow(Failing):
        def get(self, key: str) -> bytes:
            clock.advance(50)
            return super().get(key)

    inner = Slow(1)
    MemoryStore.put(inner, "key", b"value")
    retries: list[int] = []
    store = RetryingStore(inner, clock, Backoff(give_up_after=10), lambda *said: retries.append(said[2]))
    assert store.get("key") == b"value"
    assert retries == [1]


def test_a_closed_store_is_not_asked_again() -> None:
    """Whoever gave up on a save closes the store under the thread that is still trying."""
    inner = Failing(10**9)
    tried, closed = threading.Event(), threading.Event()

    def on_retry(operation: str, error: StoreUnavailable, attempt: int, delay: float) -> None:
        tried.set()
        assert closed.wait(60)

    store = RetryingStore(inner, FakeClock(), Backoff(give_up_after=math.inf), on_retry)
    raised: list[Exception] = []

    def get() -> None:
        try:
            store.get("key")
        except StoreUnavailable as error:
            raised.append(error)

    thread = threading.Thread(target=get)
    thread.start()
    assert tried.wait(60)
    store.close()
    closed.set()
    thread.join(60)
    assert inner.closed
    assert [str(error) for error in raised] == ["503 for key"]


class Asked(Exception):
    """A stop."""


def test_what_is_heeded_ends_the_waiting() -> None:
    clock = FakeClock()
    backoff = Backoff(first=60, longest=60, give_up_after=900)

    def heed() -> None:
        if clock.monotonic() >= 100:
            raise Asked

    retries: list[int] = []
    store = RetryingStore(Failing(10**9), clock, backoff, lambda *said: retries.append(said[2]), heed=heed)
    with pytest.raises(Asked):
        store.get("key")
    assert 100 <= clock.monotonic() < 100.5
    before = len(retries)
    with pytest.raises(Asked):
        store.get("key")
    assert (len(retries), clock.monotonic() < 100.5) == (before, True), "nothing is waited for any more"
    store.persist()
    with pytest.raises(StoreUnavailable, match=r"has not answered for 8\d\d s"):
        store.get("key")


class Refusing(Failing):
    """Refuses the credentials of the next `failures` reads."""

    def get(self, key: str) -> bytes:
        if self.failures:
            self.failures -= 1
            raise CredentialsExpired("they have expired; renew them", key)
        return MemoryStore.get(self, key)


class TestCredentials:
    def test_that_were_never_taken_are_read_anew_once(self) -> None:
        inner = Refusing()
        inner.put("key", b"value")
        inner.failures = 1
        patient = Patient(inner)
        assert patient.store.get("key") == b"value"
        inner = Refusing(10**9)
        patient = Patient(inner)
        with pytest.raises(CredentialsExpired) as raised:
            patient.store.get("key")
        assert str(raised.value) == (
            "failing:// refuses these credentials, also when they are read anew "
            "(get key: they have expired; renew them); then run the same command again"
        )
        assert (len(patient.retries), 10**9 - inner.failures) == (1, 2)
        assert patient.clock.monotonic() < 1

    @pytest.mark.parametrize("known", ["by an answer", "by a missing key", "by another handle"])
    def test_that_were_taken_before_are_waited_for(self, known: str) -> None:
        inner = Refusing()
        inner.put("key", b"value")
        store = RetryingStore(inner, FakeClock(), Backoff(), lambda *said: None, admitted=known == "by another handle")
        if known == "by an answer":
            store.get("key")
        if known == "by a missing key":
            with pytest.raises(KeyMissing):
                store.get("none")
        inner.failures = 10
        assert store.get("key") == b"value"

    def test_that_nobody_looked_at_are_not_taken_yet(self) -> None:
        store = RetryingStore(WrappedStore(Refusing(10**9)), FakeClock(), Backoff(), lambda *said: None)
        assert store.list_page("log", "", 10) is None, "a store that cannot do that asks nobody"
        with pytest.raises(CredentialsExpired, match="also when they are read anew"):
            store.get("key")


@given(st.integers(1, 2_000), st.text(max_size=8))
def test_delays_double_up_to_a_limit_with_jitter(attempt: int, token: str) -> None:
    backoff = Backoff(first=0.5, longest=60)
    ceiling = min(60.0, 0.5 * 2.0 ** min(attempt - 1, 20))
    delay = backoff.delay(attempt, token)
    assert ceiling / 2 <= delay <= ceiling
    assert delay == backoff.delay(attempt, token)


def test_different_operations_wait_differently() -> None:
    assert len({Backoff().delay(9, f"put blobs/{number}") for number in range(20)}) == 20


def test_the_processes_of_a_fleet_come_back_at_different_moments() -> None:
    def waits(caller: str) -> tuple[float, ...]:
        delays: list[float] = []
        store = RetryingStore(Failing(6), FakeClock(), Backoff(), lambda *said: delays.append(said[3]), caller)
        store.put("heartbeat", b"x")
        return tuple(delays)

    fleet = [waits(f"host-{number}:17") for number in range(20)]
    assert all(len(set(moment)) == 20 for moment in zip(*fleet, strict=True))
    assert waits("host-3:17") == fleet[3]


@pytest.mark.parametrize(
    ("values", "parameter"),
    [
        ({"first": 0.0}, "first"),
        ({"first": -1.0}, "first"),
        ({"first": 61.0}, "first"),
        ({"first": math.nan}, "first"),
        ({"give_up_after": -1.0}, "give_up_after"),
    ],
)
def test_wrong_values_are_named(values: dict[str, float], parameter: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        Backoff(**values)
    assert raised.value.parameter == parameter
