"""A store that tries again: exponential backoff with jitter around any other store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from mlsession.clock import Clock
from mlsession.errors import CredentialsExpired, InvalidParameter, KeyExists, KeyMissing, StoreUnavailable
from mlsession.randomness import keyed_generator
from mlsession.store.bulk import (
    ListedPart,
    delete_some,
    describe,
    get_many,
    list_page,
    list_part,
    parts_from,
    put_file,
    put_many,
)
from mlsession.store.protocol import Entry, Store
from mlsession.store.sharing import shares_reads
from mlsession.store.stamps import Stamped, get_stamped, stamps

T = TypeVar("T")
OnRetry = Callable[[str, StoreUnavailable, int, float], None]
"""Called with (operation and key, what went wrong, attempt from 1, seconds until the next try)."""
Heed = Callable[[], None]
"""Raises what ends all waiting, once there is something."""
_NAP_SECONDS = 0.2
"""Between two looks whether to wait on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait between tries, and when to give up."""

    first: float = 0.5
    """Seconds before the second try; doubled each time."""
    longest: float = 60.0
    """The most seconds between two tries."""
    give_up_after: float = 900.0
    """Seconds from the first failure after which the error is raised."""

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.longest:
            raise InvalidParameter("first", self.first, f"must be above 0 and at most longest={self.longest}")
        if self.give_up_after < 0:
            raise InvalidParameter("give_up_after", self.give_up_after, "must be 0 or more seconds")

    def delay(self, attempt: int, token: str) -> float:
        """Seconds to wait after failed try `attempt` (from 1): "equal jitter", keyed so that it has no state.

        Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        ceiling = min(self.longest, self.first * 2.0 ** min(attempt - 1, 32))
        return float(ceiling / 2 + keyed_generator(0, "backoff", token, attempt).uniform(0, ceiling / 2))


class RetryingStore:
    """Repeats what a store answers with `StoreUnavailable`.

    `caller` names who asks, among all that may use the same service: after an outage those with different names come
    back at different moments. `heed` is asked again and again while there is waiting, and may end it.

    Credentials that have expired are waited for like a store that is down, for as long as they have been taken before:
    by this handle, or by another one (`admitted`). Others are only read anew, once.

    After a lost reply, `put_if_absent` may raise `KeyExists` for the caller's own bytes: whoever creates keys must
    read back and look whose they are.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        backoff: Backoff,
        on_retry: OnRetry,
        caller: str = "",
        *,
        heed: Heed | None = None,
        admitted: bool = False,
    ) -> None:
        self._store = store
        self._clock = clock
        self._backoff = backoff
        self._on_retry = on_retry
        self._caller = caller
        self._heed = heed
        self._admitted = admitted
        self._closed = False

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def creates_exclusively(self) -> bool:
        """What the store behind says of itself; see `probe_exclusive`."""
        return bool(getattr(self._store, "creates_exclusively", True))

    @property
    def shares_reads(self) -> bool:
        """What the store behind says of itself, see `mlsession.store.sharing`; repeated like a read."""
        admitted = self._admitted
        shared = self._retry("open", lambda: shares_reads(self._store))
        self._admitted = admitted  # Nobody was asked.
        return shared

    def get(self, key: str) -> bytes:
        return self._retry(f"get {key}", lambda: self._store.get(key))

    def stamps(self, keys: Sequence[str]) -> list[bytes]:
        """Asked once: whoever gets none reads the value."""
        return stamps(self._store, keys)

    def get_stamped(self, key: str) -> Stamped:
        return self._retry(f"get {key}", lambda: get_stamped(self._store, key))

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        return self._retry(f"get {key}", lambda: self._store.get_range(key, start, stop))

    def get_many(self, limits: Mapping[str, int]) -> dict[str, bytes]:
        """All of them again if one fails."""
        return self._retry(f"get {next(iter(limits), '')}", lambda: get_many(self._store, limits))

    def put_many(self, values: Mapping[str, bytes]) -> None:
        """All of them again if one fails."""
        self._retry(f"put {next(iter(values), '')}", lambda: put_many(self._store, values))

    def list_page(self, prefix: str, after: str, count: int) -> tuple[Entry, ...] | None:
        """None where the store behind cannot do that."""
        admitted = self._admitted
        page = self._retry(f"list {prefix}", lambda: list_page(self._store, prefix, after, count))
        if page is None:
            self._admitted = admitted  # Nobody was asked.
        return page

    def describe(self, key: str) -> Entry:
        """Raises `StoreError` where the store behind cannot do that."""
        return self._retry(f"describe {key}", lambda: describe(self._store, key))

    def put(self, key: str, data: bytes) -> None:
        self._retry(f"put {key}", lambda: self._store.put(key, data))

    def put_file(self, key: str, path: Path) -> None:
        """Through memory where the store behind cannot do otherwise."""
        self._retry(f"put {key}", lambda: put_file(self._store, key, path))

    def put_if_absent(self, key: str, data: bytes) -> None:
        self._retry(f"create {key}", lambda: self._store.put_if_absent(key, data))

    def list_part(self, prefix: str, mark: str) -> ListedPart | None:
        """None where the store behind cannot do that."""
        admitted = self._admitted
        part = self._retry(f"list {prefix}", lambda: list_part(self._store, prefix, mark))
        if part is None:
            self._admitted = admitted  # Nobody was asked.
        return part

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Where the store behind lists a part at a time, each is asked for, and again, once it is needed."""
        part = self.list_part(prefix, "")
        if part is not None:
            return parts_from(part, partial(self.list_part, prefix), self.url)
        # A listing that breaks off half-way must start again, so it is gathered before anyone sees it.
        return iter(self._retry(f"list {prefix}", lambda: tuple(self._store.list(prefix))))

    def delete(self, key: str) -> None:
        self._retry(f"delete {key}", lambda: self._store.delete(key))

    def delete_some(self, keys: Sequence[str]) -> int:
        """As many at once as the store behind can remove."""
        return self._retry(f"delete {keys[0]}", lambda: delete_some(self._store, keys))

    def persist(self) -> None:
        """From now on nothing ends the waiting: for a thread whose caller has an eye on the time."""
        self._heed = None

    def close(self) -> None:
        """Closes the store; a call of another thread that is still going on is not repeated."""
        self._closed = True
        self._store.close()

    def _retry(self, operation: str, call: Callable[[], T]) -> T:
        attempt, refusals, began = 0, 0, None
        while True:
            attempt += 1
            try:
                answer = call()
            except StoreUnavailable as error:
                if self._closed:
                    raise
                self._look()
                delay = self._backoff.delay(attempt, f"{self._caller} {operation}")
                now = self._clock.monotonic()
                began = now if began is None else began
                waited = now - began
                refusals += isinstance(error, CredentialsExpired)
                if refusals > 1 and not self._admitted:
                    raise self._refused(operation, error) from error
                if waited + delay > self._backoff.give_up_after:
                    raise self._surrender(operation, error, waited) from error
                self._on_retry(operation, error, attempt, delay)
                self._wait(delay)
            except (KeyMissing, KeyExists):
                self._admitted = True
                raise
            else:
                self._admitted = True
                return answer

    def _look(self) -> None:
        if self._heed is not None:
            self._heed()

    def _wait(self, seconds: float) -> None:
        """Sleeps, unless something ends that; then raises it."""
        if self._heed is None:
            self._clock.sleep(seconds)
            return
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, _NAP_SECONDS))
            self._look()

    def _refused(self, operation: str, error: StoreUnavailable) -> StoreUnavailable:
        what = f"refuses these credentials, also when they are read anew ({operation}: {error})"
        return type(error)(f"{self.url} {what}; then run the same command again", error.key)

    def _surrender(self, operation: str, error: StoreUnavailable, waited: float) -> StoreUnavailable:
        if isinstance(error, CredentialsExpired):
            what, when = f"has refused these credentials for {waited:.0f} s", "they are renewed"
        else:
            what, when = f"has not answered for {waited:.0f} s", "the store is back"
        return type(error)(
            f"{self.url} {what} ({operation}: {error}); the session can be resumed when {when}", error.key
        )
