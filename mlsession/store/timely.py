"""Reads that come to an end, whatever a store waits for: for sources of pictures, see `mlsession.store.reading`.

    a read has not been answered in time          the request is given up: `StoreUnavailable`
    it is asked for again (by `RetryingStore`)    alone: all other reads are over by then, and new ones wait

Alone, because where a line is slow the many reads at once may be what takes each of them so long. Opening a source,
and a part of its listing, come to an end, too; what has to list everything takes as long as it takes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from mlsession.clock import Clock
from mlsession.errors import MLSessionError, StoreUnavailable
from mlsession.store.bulk import ListedPart, describe, list_part
from mlsession.store.location import is_local
from mlsession.store.protocol import Entry, Store
from mlsession.store.retrying import Heed
from mlsession.store.sharing import AwaitsReads, shares_reads

NAP_SECONDS = 0.2
"""Between two looks whether to wait on."""
T = TypeVar("T")
HEED_SECONDS = 5.0
"""For how long a read is waited for even by who is to stop: most are over by then, and what they lead to is saved."""


class _TooLong(MLSessionError):
    """Something was waited for as long as it may take. One of ours, since those go through stores unchanged."""


class Patience:
    """For how long to wait, which is the same for each read, and what may end it before."""

    def __init__(self, clock: Clock, seconds: float, heed: Heed | None, heed_after: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._heed = heed
        self._heed_after = heed_after

    def begin(self) -> Callable[[], float]:
        """Begins to wait; each call of the result gives the seconds until it should be called again.

        It raises `_TooLong` once the time is over, and after a while what `heed` raises.
        """
        began = self._clock.monotonic()

        def look() -> float:
            waited = self._clock.monotonic() - began
            if self._heed is not None and waited >= self._heed_after:
                self._heed()
            if waited >= self._seconds:
                raise _TooLong(f"no answer within {self._seconds:g} s")
            return min(self._seconds - waited, NAP_SECONDS)

        return look


class Turns:
    """Who reads: any number of threads at once, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._reading = 0
        self._queued = 0
        self._is_alone = False

    @contextmanager
    def together(self, look: Callable[[], float]) -> Iterator[None]:
        """For as long as nobody reads alone, or waits to."""
        with self._changed:
            while self._queued or self._is_alone:
                self._changed.wait(look())
            self._reading += 1
        try:
            yield
        finally:
            with self._changed:
                self._reading -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self, look: Callable[[], float]) -> Iterator[None]:
        """Once the reads of before are over."""
        with self._changed:
            self._queued += 1
            try:
                while self._reading or self._is_alone:
                    self._changed.wait(look())
                self._is_alone = True
            finally:
                self._queued -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()


class TimelyStore:
    """A store that is opened when it is first needed, and again after it got stuck. Opening it, `get`, `get_range`,
    `describe` and `list_part` come to an end.

    Where `shares_reads` says so, any number of threads may call `get`.
    """

    def __init__(self, url: str, open_store: Callable[[], Store], patience: Patience, turns: Turns) -> None:
        self._url = url
        self._open_store = open_store
        self._patience = patience
        self._turns = turns
        self._store: Store | None = None
        self._overdue: set[str] = set()
        self._opening = threading.Lock()

    @property
    def url(self) -> str:
        return self._url

    @property
    def shares_reads(self) -> bool:
        """See `mlsession.store.sharing`. Raises what opening the store raises."""
        return shares_reads(self._opened())

    def get(self, key: str) -> bytes:
        """As `Store.get`; raises `StoreUnavailable` when it takes too long, and what `heed` raises."""
        store = self._opened()
        turn = self._turns.alone if key in self._overdue else self._turns.together
        try:
            # Who waits behind reads that hang tries again like those who hang.
            with turn(self._patience.begin()):
                data = self._awaited(store, key)
        except _TooLong as error:
            self._overdue.add(key)
            raise StoreUnavailable(f"{self._url}: {error} ({key})", key) from None
        self._overdue.discard(key)
        return data

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """As `Store.get_range`; raises as `get` does, and never waits for others."""
        store = self._opened()
        try:
            return self._answered(store, lambda: store.get_range(key, start, stop))
        except _TooLong as error:
            raise StoreUnavailable(f"{self._url}: {error} ({key})", key) from None

    def describe(self, key: str) -> Entry:
        """See `mlsession.store.bulk`; raises as `get` does."""
        store = self._opened()
        try:
            return self._answered(store, lambda: describe(store, key))
        except _TooLong as error:
            raise StoreUnavailable(f"{self._url}: {error} ({key})", key) from None

    def put(self, key: str, data: bytes) -> None:
        self._opened().put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> None:
        self._opened().put_if_absent(key, data)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        return self._opened().list(prefix)

    def list_part(self, prefix: str, mark: str) -> ListedPart | None:
        """See `mlsession.store.bulk`; raises as `get` does."""
        store = self._opened()
        try:
            return self._answered(store, lambda: list_part(store, prefix, mark))
        except _TooLong as error:
            raise StoreUnavailable(f"{self._url}: {error} (list {prefix})") from None

    def delete(self, key: str) -> None:
        self._opened().delete(key)

    def close(self) -> None:
        """Closes the store, unless it is stuck."""
        if self._store is not None:
            self._store.close()

    def _opened(self) -> Store:
        with self._opening:
            if self._store is None:
                try:
                    self._store = self._wait(_asked(self._open_store))
                except _TooLong as error:
                    raise StoreUnavailable(f"{self._url}: {error} (open)") from None
            return self._store

    def _awaited(self, store: Store, key: str) -> bytes:
        if shares_reads(store) and isinstance(store, AwaitsReads):
            return store.get_while(key, self._wait)
        return self._answered(store, lambda: store.get(key))

    def _answered(self, store: Store, call: Callable[[], T]) -> T:
        future = _asked(call)
        try:
            return self._wait(future)
        finally:
            if not future.done() and self._store is store:
                self._store = None  # It belongs to the thread that is stuck.

    def _wait(self, future: Future[T]) -> T:
        look = self._patience.begin()
        while True:
            try:
                return future.result(timeout=look())
            except TimeoutError:
                if future.done():
                    return future.result()


def _asked(call: Callable[[], T]) -> Future[T]:
    """Calls in a thread of its own, which nobody has to wait for."""
    future: Future[T] = Future()

    def answer() -> None:
        try:
            answer = call()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(answer)

    threading.Thread(target=answer, daemon=True, name="mlsession-read").start()
    return future


def timely_opener(
    url: str,
    open_store: Callable[[], Store],
    clock: Clock,
    seconds: float,
    heed: Heed | None = None,
    heed_after: float = HEED_SECONDS,
) -> Callable[[], Store]:
    """How to open handles on one source, of which each read comes to an end after `seconds`; see the module.

    `heed` is asked again and again while a read takes longer than `heed_after`, and may end it. `url` is what people
    may see. A local one is opened as it is: its disk answers, or nothing on this machine does.
    """
    if is_local(url):
        return open_store
    patience, turns = Patience(clock, seconds, heed, heed_after), Turns()
    return lambda: TimelyStore(url, open_store, patience, turns)
