"""A store for any number of threads, and the bytes of a source's images through one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mlsession.store.protocol import Store


class StoreHandles:
    """Handles on one store; each thread gets one of its own, because a store belongs to one thread."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._handles = threading.local()
        self._opened: list[Store] = []
        self._lock = threading.Lock()

    def here(self) -> Store:
        """The handle of this thread, opened when it is first asked for."""
        store: Store | None = getattr(self._handles, "store", None)
        if store is None:
            store = self._open_store()
            self._handles.store = store
            with self._lock:
                self._opened.append(store)
        return store

    def close(self) -> None:
        """Releases every thread's handle. Only when no thread uses one any more."""
        with self._lock:
            opened, self._opened = self._opened, []
            self._handles = threading.local()
        for store in opened:
            store.close()


class SourceReader:
    """Reads keys of one source, in any number of threads."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._handles = StoreHandles(open_store)

    def read(self, key: str) -> bytes:
        """The bytes of one image. Raises `KeyMissing` and other `StoreError`s."""
        return self._handles.here().get(key)

    def close(self) -> None:
        """Releases every thread's handle. Only when no thread reads any more."""
        self._handles.close()
