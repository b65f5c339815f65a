"""Bytes of a source's images, for any number of threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mlsession.store.protocol import Store


class SourceReader:
    """Reads keys of one source; each thread gets a handle of its own, because a store belongs to one thread."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._handles = threading.local()
        self._opened: list[Store] = []
        self._lock = threading.Lock()

    def read(self, key: str) -> bytes:
        """The bytes of one image. Raises `KeyMissing` and other `StoreError`s."""
        store: Store | None = getattr(self._handles, "store", None)
        if store is None:
            store = self._open_store()
            self._handles.store = store
            with self._lock:
                self._opened.append(store)
        return store.get(key)

    def close(self) -> None:
        """Releases every thread's handle. Only when no thread reads any more."""
        with self._lock:
            opened, self._opened = self._opened, []
            self._handles = threading.local()
        for store in opened:
            store.close()
