"""A store in this process's memory: the fake that ships, held to the same contract as the real ones."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterator
from typing import NamedTuple

from mlsession.errors import KeyExists, KeyMissing
from mlsession.store.keys import check_read_key, check_written_key
from mlsession.store.protocol import Entry
from mlsession.store.ranges import check_range


class _Value(NamedTuple):
    data: bytes
    number: int
    """Counts the writes of the space, so no two values share a version."""


class MemorySpace:
    """The bytes behind any number of `MemoryStore` handles; safe to share between threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.values: dict[str, _Value] = {}
        self.numbers = itertools.count()


class MemoryStore:
    """A handle to a `MemorySpace`, of its own unless one is given.

    Two handles to one space behave as two processes on one bucket do.
    """

    def __init__(self, space: MemorySpace | None = None, *, url: str = "memory-store://") -> None:
        self.space = space if space is not None else MemorySpace()
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    def get(self, key: str) -> bytes:
        check_read_key(key)
        with self.space.lock:
            value = self.space.values.get(key)
        if value is None:
            raise KeyMissing(f"{self._url}: there is no {key}", key)
        return value.data

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        check_range(start, stop)
        return self.get(key)[start:stop]

    def put(self, key: str, data: bytes) -> None:
        check_written_key(key)
        with self.space.lock:
            self.space.values[key] = _Value(bytes(data), next(self.space.numbers))

    def put_if_absent(self, key: str, data: bytes) -> None:
        check_written_key(key)
        with self.space.lock:
            if key in self.space.values:
                raise KeyExists(f"{self._url}: {key} exists already", key)
            self.space.values[key] = _Value(bytes(data), next(self.space.numbers))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        folder = prefix.rstrip("/")
        if folder:
            check_read_key(folder)
        with self.space.lock:
            values = dict(self.space.values)
        start = f"{folder}/" if folder else ""
        return (
            Entry(key=key, size=len(value.data), version=str(value.number))
            for key, value in values.items()
            if key.startswith(start)
        )

    def list_page(self, prefix: str, after: str, count: int) -> tuple[Entry, ...]:
        """See `mlsession.store.bulk`."""
        later = (entry for entry in self.list(prefix) if entry.key > after)
        return tuple(heapq.nsmallest(count, later, key=lambda entry: entry.key))

    def delete(self, key: str) -> None:
        check_written_key(key)
        with self.space.lock:
            self.space.values.pop(key, None)

    def close(self) -> None:
        """Nothing to release."""
