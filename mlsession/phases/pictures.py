"""Batches of images through several workers, in a fixed order: each batch is read ahead, then worked on by one thread.

    reading    many threads, which wait for a store most of the time; bounded by the bytes that lie ready
    working    as many threads as there are processors: decoding and the network, one batch each

One thread does all of a batch because decoding and the network compete for the same processors: a network that ran
in several threads at once would wait for the slowest of them at every layer.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias, TypeVar

from mlsession.extractors.processor import usable_processors

BATCH = 16
"""Images in a step: bounded work, and small enough for the caches of a processor."""
MOST_WORKERS = 32
"""Each holds a network of its own: some 60 MB with OpenVINO."""
BATCHES_AHEAD = 2
"""Batches beyond those being worked on: enough to even out slow pictures."""
READERS = 8
"""Each opens a handle of its own on the store, if there is enough to read."""
READY_BYTES = 128 * 2**20
"""Once so much has been read and not been worked on, no more is read."""

Result = TypeVar("Result")
Read: TypeAlias = Callable[[], bytes]
"""Waits for the bytes of an image; raises what reading it raised."""


def worked_batches(
    rows: range,
    read: Callable[[int], bytes],
    work: Callable[[Sequence[tuple[int, Read]]], Result],
    size: int = BATCH,
    workers: int | None = None,
) -> Iterator[Result]:
    """`work` on `rows` in batches of `size`; the results in order, a few batches ahead of the caller.

    Whatever `read` or `work` raises is raised here, at its batch's turn. The number of workers changes the speed alone.
    """
    count = workers or min(usable_processors(), MOST_WORKERS)
    ready = _Ready(READY_BYTES)
    readers = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="mlsession-reading")
    working = ThreadPoolExecutor(max_workers=count, thread_name_prefix="mlsession-working")
    waiting: deque[Future[Result]] = deque()
    starts = iter(range(0, len(rows), size))
    try:
        while True:
            while len(waiting) < count + BATCHES_AHEAD and (first := next(starts, None)) is not None:
                batch = [
                    (row, ready.taking(readers.submit(ready.reading, read, row), row))
                    for row in rows[first : first + size]
                ]
                waiting.append(working.submit(work, batch))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        ready.close()
        readers.shutdown(wait=True, cancel_futures=True)
        working.shutdown(wait=True, cancel_futures=True)


class _Ready:
    """The bytes that have been read and not been taken: a row is read while there is room, or once it is waited for.

    Nobody waits for ever: of the first batch that is not done, the row that its worker waits for has been begun before
    all later ones, so it is being read, or lets itself in here.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._awaited: set[int] = set()
        self._closed = False
        self._changed = threading.Condition()

    def reading(self, read: Callable[[int], bytes], row: int) -> bytes:
        """Reads a row once it may be."""
        with self._changed:
            self._changed.wait_for(lambda: self._held < self._most or row in self._awaited or self._closed)
            if self._closed:
                return b""  # Nobody will ask for it.
        data = read(row)
        with self._changed:
            self._held += len(data)
        return data

    def taking(self, future: Future[bytes], row: int) -> Read:
        """Takes out what was read, and makes room for more."""

        def take() -> bytes:
            with self._changed:
                self._awaited.add(row)
                self._changed.notify_all()
            try:
                data = future.result()
            finally:
                with self._changed:
                    self._awaited.discard(row)
            with self._changed:
                self._held -= len(data)
                self._changed.notify_all()
            return data

        return take

    def close(self) -> None:
        """Lets those go who wait for room."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
