"""A store for any number of threads, and the bytes of a source's images through one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from mlsession.clock import Clock
from mlsession.data.index import ImageIndex
from mlsession.data.tags import TaggedImages, has_sums
from mlsession.store.protocol import Store
from mlsession.store.sharing import shares_reads
from mlsession.store.stamps import NO_STAMP, get_stamped, stamps


class StoreHandles:
    """Handles on one store. Each thread gets one of its own, because a store belongs to one thread; but where one
    serves all of them (see `mlsession.store.sharing`), there is one.
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._handles = threading.local()
        self._shared: Store | None = None
        self._opened: list[Store] = []
        self._lock = threading.Lock()

    def is_shared(self) -> bool:
        """Whether one handle serves all threads. Opens it, and raises what that raises."""
        self.here()
        return self._shared is not None

    def here(self) -> Store:
        """The handle of this thread, opened when it is first asked for."""
        store: Store | None = self._shared or getattr(self._handles, "store", None)
        if store is None:
            with self._lock:
                # The first tells whether there have to be others.
                store = self._shared or (None if self._opened else self._first())
            if store is None:
                store = self._open_store()
                with self._lock:
                    self._opened.append(store)
            self._handles.store = store
        return store

    def close(self) -> None:
        """Releases every thread's handle. Only when no thread uses one any more."""
        with self._lock:
            opened, self._opened, self._shared = self._opened, [], None
            self._handles = threading.local()
        for store in opened:
            store.close()

    def _first(self) -> Store:
        store = self._open_store()
        self._opened.append(store)  # Closed, too, if it cannot say whether it is shared.
        if shares_reads(store):
            self._shared = store
        return store


class SourceReader:
    """Reads keys of one source, in any number of threads.

    `ReadPolicy.opener` gives the `open_store` that bears with a far source; `DataSource.reader` makes one with it.
    """

    def __init__(self, open_store: Callable[[], Store], clock: Clock | None = None, url: str = "") -> None:
        """`clock` tells how long ago files of this machine were changed: without it, and without the `url` of a far
        source, none is known by a stamp.
        """
        self._handles = StoreHandles(open_store)
        self._clock = clock
        self._url = url

    def opens_shared(self) -> bool:
        """Whether one handle serves all threads, so that many reads at once cost no more than few.

        Opens it. Raises `StoreError` where that fails.
        """
        return self._handles.is_shared()

    def read(self, key: str) -> bytes:
        """The bytes of one image. Raises `KeyMissing` and other `StoreError`s."""
        return self._handles.here().get(key)

    def stamping(self, listed: ImageIndex | None) -> SourceReader | TaggedImages | None:
        """What knows images by stamps: files of this machine's disks by what the system says of them, others by the
        tags of what was `listed` by this attempt, if it was; None where nothing does.
        """
        if self._clock is not None:
            return self
        return (
            TaggedImages(self._url, listed, self.read)
            if self._url and listed is not None and has_sums(listed)
            else None
        )

    def stamps(self, keys: Sequence[str]) -> list[bytes]:
        """What the files of keys are known by now, without reading them: see `mlsession.store.stamps`; empty: nothing.

        Raises what opening the store raises.
        """
        return stamps(self._handles.here(), keys)

    def read_stamped(self, key: str) -> tuple[bytes, bytes]:
        """The bytes of one image, and the stamp that stands for them from now on. Raises as `read` does."""
        if self._clock is None:
            return self.read(key), NO_STAMP
        now = self._clock.now().timestamp()
        read = get_stamped(self._handles.here(), key)
        return read.data, read.settled(now)

    def close(self) -> None:
        """Releases every thread's handle. Only when no thread reads any more."""
        self._handles.close()
