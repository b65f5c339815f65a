"""The wrapper that makes a store fail."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

from mlsession.errors import KeyExists, KeyMissing, MLSessionError, StoreError, StoreUnavailable
from mlsession.store.failures import remote_failure
from mlsession.store.protocol import Entry, Store
from mlsession.testing.faults.process import Process
from mlsession.testing.faults.values import Call, Fault, Operation

T = TypeVar("T")

BEST_EFFORT = ("heartbeat/", "control/")
"""Keys of signs of life and of requests to stop: when they are written and read no test can foresee."""


class FaultyStore:
    """Another store, with the faults that its process's plan holds for each call.

    Give each process of a test a `Process`, and each handle that it opens a `FaultyStore` with it. Calls on
    `BEST_EFFORT` keys are neither numbered nor faulted; but when the process is dead they, too, do nothing: reading
    finds nothing, and writing says nothing.

    A listing that lags behind (`STALE_LISTING`) leaves out the last by name of the keys that this process was not shown
    yet (in a log: its newest records), and still shows those that it was shown before and that were deleted since.
    Reads by key are always up to date. That is what stores do whose listings are eventually consistent: caches in
    front of them, S3-like servers, and S3 itself before December 2020
    (https://aws.amazon.com/s3/consistency/).

    `tears`: whether a crash halfway leaves a part of the bytes under the name itself, as on FTP, or on a disk without
    hard links; everywhere else it leaves nothing, as `CRASH_BEFORE` does.
    """

    def __init__(self, store: Store, process: Process, *, tears: bool = False) -> None:
        self._store = store
        self._process = process
        self._tears = tears

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def creates_exclusively(self) -> bool:
        """What the store behind says of itself; see `probe_exclusive`."""
        return bool(getattr(self._store, "creates_exclusively", True))

    def get(self, key: str) -> bytes:
        return self._read(Operation.GET, key, self._store.get)

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        return self._read(Operation.GET_RANGE, key, lambda name: self._store.get_range(name, start, stop))

    def put(self, key: str, data: bytes) -> None:
        self._write(Operation.PUT, key, data, lambda stored: self._store.put(key, stored))

    def put_if_absent(self, key: str, data: bytes) -> None:
        self._write(Operation.CREATE, key, data, lambda stored: self._store.put_if_absent(key, stored))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        folder = prefix.rstrip("/")

        def act(call: Call, fault: Fault | None) -> tuple[Entry, ...]:
            entries = self._meet(call, fault, lambda: tuple(self._store.list(prefix)))
            if fault is Fault.STALE_LISTING:
                return self._process.lagging(entries, f"{folder}/" if folder else "")
            return self._process.listed(entries)

        return iter(self._process.run(Operation.LIST, prefix, act))

    def delete(self, key: str) -> None:
        def delete() -> None:
            self._store.delete(key)

        if key.startswith(BEST_EFFORT):
            self._process.run_unnumbered(delete, _do_nothing)
        else:
            self._process.run(Operation.DELETE, key, lambda call, fault: self._meet(call, fault, delete))

    def close(self) -> None:
        """Also of a dead process: whoever holds the connections is the test, not the process."""
        self._store.close()

    def _read(self, operation: Operation, key: str, read: Callable[[str], bytes]) -> bytes:
        def find_nothing() -> bytes:
            raise KeyMissing(f"{key}: the process that looks for it is dead", key)

        def act(call: Call, fault: Fault | None) -> bytes:
            name = self._other_key(key) if fault is Fault.SWAPPED else key
            data = self._meet(call, fault, lambda: read(name))
            return self._damaged(call, fault, data)

        if key.startswith(BEST_EFFORT):
            return self._process.run_unnumbered(lambda: read(key), find_nothing)
        return self._process.run(operation, key, act)

    def _write(self, operation: Operation, key: str, data: bytes, write: Callable[[bytes], None]) -> None:
        def act(call: Call, fault: Fault | None) -> None:
            stored = self._damaged(call, fault, data)
            torn = (lambda: write(_half(data))) if self._tears else _do_nothing
            self._meet(call, fault, lambda: write(stored), torn)

        if key.startswith(BEST_EFFORT):
            self._process.run_unnumbered(lambda: write(data), _do_nothing)
        else:
            self._process.run(operation, key, act)

    def _meet(
        self, call: Call, fault: Fault | None, do: Callable[[], T], do_half: Callable[[], None] = lambda: None
    ) -> T:
        """Carries out a call as far as its fault lets it."""
        match fault:
            case Fault.CRASH_BEFORE:
                raise self._process.die()
            case Fault.CRASH_HALFWAY:
                _try(do_half)
                raise self._process.die()
            case Fault.CRASH_AFTER:
                _try(do)
                raise self._process.die()
            case Fault.LOST_REPLY:
                _try(do)
                raise StoreUnavailable(f"{self.url}: the reply to {call.operation} {call.key} was lost", call.key)
            case Fault.EXISTS:
                do()
                raise KeyExists(f"{self.url}: {call.key} exists already, created by this very call", call.key)
            case Fault.CONFLICT | Fault.UNAVAILABLE | Fault.TIMED_OUT | Fault.EXPIRED | Fault.DENIED | Fault.NO_SPACE:
                raise self._refusal(fault, call.key)
            case _:
                return do()

    def _refusal(self, fault: Fault, key: str) -> StoreError:
        """What a store of this package makes of the error that a client library would raise."""
        return remote_failure(_client_error(fault), self.url, key, lambda text: text)

    def _damaged(self, call: Call, fault: Fault | None, data: bytes) -> bytes:
        match fault:
            case Fault.FLIPPED_BIT:
                return self._process.flipped(call, data)
            case Fault.TRUNCATED:
                return _half(data)
            case _:
                return data

    def _other_key(self, key: str) -> str:
        """The key after this one in its folder, by name; of the last the first."""
        folder = key.rpartition("/")[0]
        keys = sorted({entry.key for entry in self._store.list(folder)} | {key})
        return keys[(keys.index(key) + 1) % len(keys)]


class _Answer(Exception):
    """What a service said, with the fields by which `classify` knows it."""

    def __init__(self, status: int, error_code: str) -> None:
        super().__init__(f"{status} {error_code}")
        self.status = status
        self.error_code = error_code


def _client_error(fault: Fault) -> Exception:
    match fault:
        case Fault.CONFLICT:
            return _Answer(409, "ConditionalRequestConflict")
        case Fault.UNAVAILABLE:
            return _Answer(503, "SlowDown")
        case Fault.EXPIRED:
            return _Answer(400, "ExpiredToken")
        case Fault.DENIED:
            return _Answer(403, "AccessDenied")
        case Fault.NO_SPACE:
            return OSError(errno.ENOSPC, "No space left on device")
        case _:
            return TimeoutError("timed out")


def _try(do: Callable[[], object]) -> None:
    """Carries something out for someone who does not hear how it went."""
    with suppress(MLSessionError):
        do()


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _do_nothing() -> None:
    return
