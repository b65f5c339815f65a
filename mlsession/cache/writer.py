"""Writing a folder of the feature cache: in a thread of its own, within a bound on what the cache holds.

The thread is a daemon: the interpreter would wait at its end for an executor's, and a store that hangs keeps it busy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Queue

import numpy as np

from mlsession.cache.handle import Handle
from mlsession.cache.packs import about_key, encode_pack, pack_key, read_front
from mlsession.cache.reader import PackReader, as_matrix
from mlsession.cache.remembering import MOST_BYTES, Memory
from mlsession.cache.trial import Trial
from mlsession.cache.upkeep import forget_oldest, look, make_room, merge_small, note_use
from mlsession.errors import KeyExists
from mlsession.extractors.halves import Halves

Batch = Mapping[bytes, Halves]

_MOST_WAITING = 2
"""Batches that wait to be written; then whoever adds to them waits as well."""


class PackWriter:
    """Writes rows as packs, and sees to the cache at the end."""

    def __init__(
        self,
        handle: Handle,
        folder: str,
        about: bytes,
        limit: int,
        pack_rows: int,
        reader: PackReader,
        memory: Memory,
        trial: Trial,
        on_full: Callable[[], None],
    ) -> None:
        self._handle = handle
        self._folder = folder
        self._about = about
        self._limit = limit
        self._pack_rows = pack_rows
        self._reader = reader
        self._memory = memory
        self._trial = trial
        self._on_full = on_full
        self._held_bytes: int | None = None
        """What the cache holds, as far as is known; None before anybody has looked."""
        self._is_full = False
        self._is_said = False
        self._calls: Queue[Callable[[], None] | None] = Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        memory.on_enough = lambda: self._submit(
            lambda: self._trial.attempt(lambda: memory.write(self._has_room_for_memo))
        )

    def write(self, batch: Batch, when_done: Callable[[], None]) -> None:
        """Has rows written, by and by; `when_done` is called once the reader knows them, or they are lost."""

        def run() -> None:
            try:
                self._trial.attempt(lambda: self._write(batch))
            finally:
                when_done()

        self._submit(run)

    def close(self) -> None:
        """Waits until all is written; notes what was used, and makes room. Raises what the thread ran into."""
        if self._thread is not None or self._used or self._memory.num_new:
            self._submit(lambda: self._trial.attempt(self._finish))
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join()
            self._thread = None
        self._check()

    def _write(self, batch: Batch) -> None:
        digests, rows = as_matrix(list(batch)), np.stack(list(batch.values()))
        data = encode_pack(digests, rows)
        front = read_front(data)
        if front is None or self._is_full:
            return
        if not self._has_room(len(data)):
            self._is_full = True
            self._on_full()
            return
        if not self._is_said:
            self._say_what_it_is()
        key = pack_key(self._folder, data)
        # By its name nobody puts other bytes there, so what is replaced is the same, or damaged.
        with self._handle.use() as store:
            store.put(key, data)
        self._held_bytes = (self._held_bytes or 0) + len(data)
        self._reader.take(front, key, rows)

    def _has_room(self, size: int) -> bool:
        """Whether so many bytes fit, once older packs have gone. What this run uses is not deleted for it."""
        used = self._used
        with self._handle.use() as store:
            if self._held_bytes is None:
                self._held_bytes = look(store).size_bytes
            if self._held_bytes + size > self._limit >= size:
                self._held_bytes = make_room(store, look(store), self._limit - size, used, self._folder)
            return self._held_bytes + size <= self._limit

    def _has_room_for_memo(self, size: int) -> bool:
        fits = self._has_room(size)
        self._held_bytes = (self._held_bytes or 0) + (size if fits else 0)
        return fits

    @property
    def _used(self) -> frozenset[str]:
        """The packs and memos of this run."""
        return self._reader.used | self._memory.keys

    def _say_what_it_is(self) -> None:
        self._is_said = True
        if self._about:
            with self._handle.use() as store, suppress(KeyExists):
                store.put_if_absent(about_key(self._folder), self._about)

    def _finish(self) -> None:
        self._memory.finish(self._has_room_for_memo)
        used, packs = self._used, self._reader.packs
        with self._handle.use() as store:
            merged = merge_small(store, packs, self._folder, self._pack_rows)
            holding = look(store)
            kept = {key for key in holding.sizes if key in used or key == merged}
            if kept:
                note_use(store, holding, kept)
            holding = forget_oldest(store, holding, MOST_BYTES, kept)
            make_room(store, holding, self._limit, kept, self._folder)

    def _submit(self, call: Callable[[], None]) -> None:
        self._check()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="mlsession-cache", daemon=True)
            self._thread.start()
        self._calls.put(call)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except BaseException as error:  # Raised where the next call is made.
                self._error = self._error or error

    def _check(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
