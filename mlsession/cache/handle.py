"""One handle on a store for several threads, in turn: on a bucket opening one takes as long as many requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlsession.store.protocol import Store


class Handle:
    """A store that is opened when it is first used."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._lock = threading.Lock()
        self._store: Store | None = None

    @contextmanager
    def use(self) -> Iterator[Store]:
        """The store, for this thread alone until the block ends."""
        with self._lock:
            if self._store is None:
                self._store = self._open_store()
            yield self._store

    def close(self) -> None:
        """Releases it; idempotent."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None
